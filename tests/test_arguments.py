"""Every public argument is declared once: signature, docstring, settings, checks and the manual agree with it."""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Unpack

import pytest

import shardline
from shardline import DataLoader, StructuredDataset
from shardline.arguments import GROUPS, RENAMED, DatasetArguments, DatasetOptions
from shardline.settings import Settings
from shardline.signature import declared

ALL = declared(DatasetArguments)
# What `Settings` holds in another form.
ELSEWHERE = {
    *("filters", "sample", "subset", "subset_by", "sample_seed", "partitioning"),  # in row_filter
    *("storage_options", "format", "plan", "mesh", "process_group", "show_progress"),
    *("version", "timestamp", "snapshot", "ref", "as_of"),  # in Settings.table
}


@pytest.mark.parametrize(("cls", "arguments"), [(StructuredDataset, DatasetArguments), (DataLoader, DatasetOptions)])
def test_signatures_have_every_argument_with_its_type_and_default(cls, arguments):
    parameters = inspect.signature(cls).parameters
    for name, (hint, argument) in declared(arguments).items():
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY, name
        assert (parameters[name].default, parameters[name].annotation) == (argument.default, hint), name
    assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


def test_type_checkers_see_the_declaration():
    assert StructuredDataset.__init__.__annotations__["arguments"] == Unpack[DatasetArguments]
    assert DataLoader.__init__.__annotations__["options"] == Unpack[DatasetOptions]


@pytest.mark.parametrize(("cls", "arguments"), [(StructuredDataset, DatasetArguments), (DataLoader, DatasetOptions)])
def test_docstrings_have_every_argument_once_with_its_sentence(cls, arguments):
    text = re.sub(r"\s+", " ", cls.__doc__)
    for name, (_, argument) in declared(arguments).items():
        assert text.count(f" {name}: {argument.doc}") == 1, name
        assert argument.doc.endswith("."), name
    assert "{arguments}" not in text


def test_every_argument_is_in_one_group_and_reaches_the_settings():
    grouped = [name for group in GROUPS for name in group.__annotations__]
    assert sorted(grouped) == sorted(ALL)
    settings = {field.name for field in fields(Settings)}
    assert set(ALL) - ELSEWHERE <= settings
    assert settings - set(ALL) == {"row_filter", "storage", "table"}


@pytest.mark.parametrize("name", sorted(ALL))
def test_defaults_pass_their_own_check_and_a_wrong_value_is_refused_by_name(name, hundred):
    _, argument = ALL[name]
    argument.check(name, argument.default)
    with pytest.raises(shardline.ShardlineError) as error:
        StructuredDataset(None if name == "plan" else hundred, **{name: object()})
    assert name in str(error.value)


@pytest.mark.parametrize("function", [DataLoader, StructuredDataset, StructuredDataset.create_dataloader])
def test_a_name_that_is_not_known_is_refused_with_the_one_that_may_be_meant(hundred, function):
    for old, new in RENAMED.items():
        with pytest.raises(shardline.ShardlineTypeError, match=re.escape(f"{old}= of ") + ".*" + re.escape(new)):
            function(hundred, **{old: None})
        assert set(re.findall(r"(\w+)=", new)) <= set(ALL)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colums'; did you mean columns="):
        function(hundred, colums=["x"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'zzz'$"):
        function(hundred, zzz=1)


def test_the_manual_has_every_argument_with_its_default():
    page = (Path(__file__).parent.parent / "docs/reading.md").read_text()
    rows = dict(re.findall(r"^\| (`[^|]+`) \|([^|]*)\|", page[page.index("## Arguments") :], re.MULTILINE))
    found = {name: default.strip() for names, default in rows.items() for name in re.findall(r"`(\w+)`", names)}
    for name, (_, argument) in ALL.items():
        assert name in found, f"docs/reading.md has no row for {name}"
        if argument.default is not None and "," not in found[name] and found[name]:
            shown = f'"{argument.default}"' if isinstance(argument.default, str) else str(argument.default)
            assert found[name].strip("`") == shown, name
