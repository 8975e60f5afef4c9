"""`Images` against Pillow's own pixels, and the errors that name a file and a row."""

import io
import itertools
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import examples

import shardline
from shardline import ColumnNotFoundError, DataLoader, Images, RowError, ShardlineTypeError, ShardlineValueError
from shardline.images import crop


def encoded(pixels, kind="PNG", **options):
    """The bytes of an image file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def picture(seed, height, width):
    """Smooth colours with some noise: JPEG keeps them, and no two parts are the same."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x * a + y * b) % 256 for a, b in rng.integers(1, 5, (3, 2))]
    return np.clip(np.stack(planes, -1) + rng.integers(-9, 9, (height, width, 3)), 0, 255).astype(np.uint8)


def write(folder, columns, files=3, group=4):
    """Rows in several files of several row groups."""
    table = pa.table(columns)
    folder.mkdir(exist_ok=True)
    step = -(-len(table) // files)
    for number in range(files):
        pq.write_table(table.slice(number * step, step), folder / f"{number}.parquet", row_group_size=group)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """36 images of other sizes, half of them JPEG."""
    sizes = [(30 + 7 * n % 50, 24 + 11 * n % 60) for n in range(36)]
    files = [encoded(picture(n, *size), "JPEG" if n % 2 else "PNG") for n, size in enumerate(sizes)]
    return write(tmp_path_factory.mktemp("photos"), {"image": files, "i": range(36)}), files


@examples(60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_whole_and_middle_are_pillow_s_pixels(height, width, down, across, middle):
    data = encoded(picture(height, height, width))
    made = Images("x", (down, across), crop="center" if middle else None)({"x": [data]})["x"]
    image = Image.open(io.BytesIO(data))
    if middle:
        ratio = across / down
        w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
        left, top = (width - w) // 2, (height - h) // 2
        image = image.crop((left, top, left + w, top + h))
    wanted = np.asarray(image.resize((across, down), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert (made.dtype, made.is_contiguous()) == (torch.uint8, True)
    assert np.array_equal(made[0].numpy(), wanted)


@examples(300)
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 4), max_size=10),
)
def test_a_random_part_is_inside_and_as_large_as_asked_for(width, height, draws):
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    box = crop.random(width, height, draws, scale, ratio)
    assert 0 <= box.left < box.left + box.width <= width
    assert 0 <= box.top < box.top + box.height <= height
    if min(box.width, box.height) > 50 and draws:  # rounding matters little
        assert ratio[0] * 0.97 <= box.width / box.height <= ratio[1] * 1.03
    if not draws and min(width, height) > 50 and ratio[0] < width / height < ratio[1]:
        assert max(width - box.width, height - box.height) <= 1


def test_random_parts_have_every_area_and_place():
    """As torchvision's: the area is uniform, the form log-uniform, the place uniform."""
    draws = torch.rand(4000, 10, 4, generator=torch.Generator().manual_seed(1)).tolist()
    boxes = [crop.random(1000, 1000, each, (0.08, 0.5), (3 / 4, 4 / 3)) for each in draws]
    areas = np.array([box.width * box.height for box in boxes]) / 1e6
    assert np.allclose(np.quantile(areas, [0.1, 0.5, 0.9]), 0.08 + 0.42 * np.array([0.1, 0.5, 0.9]), atol=0.015)
    forms = np.log([box.width / box.height for box in boxes])
    assert np.allclose(np.quantile(forms, [0.1, 0.5, 0.9]), np.log(4 / 3) * np.array([-0.8, 0, 0.8]), atol=0.03)
    places = np.array([box.left / (1001 - box.width) for box in boxes])
    assert np.allclose(np.quantile(places, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


def test_modes_and_exif_and_mirroring():
    pixels = picture(3, 20, 30)
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    palette, alpha = io.BytesIO(), io.BytesIO()
    Image.fromarray(gray).convert("P").save(palette, "PNG")
    Image.fromarray(pixels).convert("RGBA").save(alpha, "PNG")
    files = [encoded(gray), palette.getvalue(), alpha.getvalue()]
    made = Images("x", (20, 30))({"x": files})["x"].numpy()
    assert np.array_equal(made[:2], np.stack([np.stack([gray] * 3)] * 2))
    assert np.array_equal(made[2], pixels.transpose(2, 0, 1))
    assert np.array_equal(Images("x", (20, 30), mode="L")({"x": files})["x"][2, 0].numpy(), gray)
    assert np.array_equal(Images("x", (20, 30), flip=1)({"x": files})["x"].numpy(), made[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    turned = Images("x", (30, 20))({"x": [encoded(pixels, exif=exif)]})["x"][0].numpy()
    assert np.array_equal(turned, np.rot90(pixels, -1).transpose(2, 0, 1))


def test_structs_of_bytes_and_path(tmp_path):
    """As Hugging Face's data sets have them."""
    one, other = picture(1, 16, 16), picture(2, 16, 16)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "b.png").write_bytes(encoded(other))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": encoded(one), "path": "a.png"}, {"bytes": None, "path": "b.png"}], kind)
    path = write(tmp_path / "data", {"image": rows, "i": [0, 1]}, files=1)
    images, wanted = Images("image", 16, root=tmp_path / "root"), [one, other]
    for options in ({"output_format": "arrow"}, {"column_defaults": shardline.ColumnOptions(nulls="fill")}):
        for at, batch in enumerate(DataLoader(path, batch_size=1, transform=images_of(images), **options)):
            assert np.array_equal(batch["image"][0].numpy(), wanted[at].transpose(2, 0, 1))


def images_of(images):
    """For batches of Arrow data too."""
    return lambda batch: images(
        batch if isinstance(batch, dict) else {name: batch[name] for name in batch.schema.names}
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_the_same_pixels(photos, workers):
    path, _ = photos
    options = {
        "batch_size": 5,
        "shuffle": True,
        "shuffle_seed": 3,
        "num_workers": workers,
        "transform": Images("image", 20, crop="random", flip=0.5, num_threads=1 if workers else 4),
    }
    loader = DataLoader(path, **options)
    batches, states = [], []
    for batch in loader:
        batches.append(batch)
        states.append(loader.state_dict())
    alone = DataLoader(path, **{**options, "num_workers": 0, "transform": Images("image", 20, crop="random", flip=0.5)})
    for number in (1, 5):
        alone.load_state_dict(states[number])
        for batch, expected in zip(alone, batches[number + 1 :], strict=True):
            assert all(torch.equal(batch[name], expected[name]) for name in ("image", "i"))
    assert len({tuple(image.flatten().tolist()) for batch in batches for image in batch["image"]}) == 36


@pytest.mark.parametrize(
    "options", [{}, {"num_workers": 2}, {"filters": [("i", "not in", [16, 18])]}, {"rank": 0, "num_ranks": 2}]
)
def test_a_broken_image_is_named_by_file_and_row(photos, tmp_path, options):
    _, files = photos
    broken = list(files)
    broken[19] = files[19][:200]  # the second file's row 7, in its row group 1
    path = write(tmp_path, {"image": broken, "i": range(36)})
    loader = DataLoader(path, batch_size=4, shuffle=True, shuffle_seed=1, transform=Images("image", 16), **options)
    with pytest.raises(
        RowError, match=r"(?s)column 'image', row \d of the batch: no image that can be decoded"
    ) as seen:
        for _ in loader:
            pass
    assert str(seen.value).endswith("; it is row 3 of row group 1 of 1.parquet")
    assert isinstance(seen.value, ValueError)


def test_a_batch_with_other_rows_names_no_file(photos, tmp_path):
    path = write(tmp_path, {"image": [b"", *photos[1][1:]], "i": range(36)})
    images = Images("image", 16)

    def transform(batch):
        return images({"image": batch["image"][:2]})

    with pytest.raises(RowError, match=r"row 0 of the batch: no image that can be decoded \(.*\)$"):
        next(iter(DataLoader(path, batch_size=4, transform=transform)))


def test_every_error_is_the_first_row_s(photos):
    files = [*photos[1][:3], b"no image", photos[1][4], b""]
    for threads in (1, 3):
        with pytest.raises(RowError, match="row 3 of the batch") as seen:
            Images("x", 8, num_threads=threads)({"x": files})
        assert (seen.value.row, seen.value.rows) == (3, 6)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"size": 0}, ShardlineValueError, "size must be between 1"),
        ({"size": "8"}, ShardlineTypeError, "size must be an integer"),
        ({"size": (8, 8, 8)}, ShardlineTypeError, "size must be an integer"),
        ({"column": 3}, ShardlineTypeError, "column must be the name"),
        ({"crop": "middle"}, ShardlineValueError, "crop must be one of None, 'center', 'random'"),
        ({"scale": (0, 1)}, ShardlineValueError, "scale must be .*at most 1"),
        ({"scale": 0.5}, ShardlineValueError, "scale must be"),
        ({"ratio": (2, 1)}, ShardlineValueError, "ratio must be"),
        ({"flip": 2}, ShardlineValueError, "flip must be a probability"),
        ({"mode": "BGR"}, ShardlineValueError, "mode must be one of 'RGB', 'L'"),
        ({"num_threads": 0}, ShardlineValueError, "num_threads must be between 1"),
    ],
)
def test_wrong_arguments(arguments, error, said):
    with pytest.raises(error, match=said):
        Images(**{"column": "x", "size": 8, **arguments})


def test_wrong_batches():
    images = Images("image", 8)
    with pytest.raises(ColumnNotFoundError, match="no column 'image', but 'imge'; did you mean 'imge'"):
        images({"imge": []})
    with pytest.raises(ShardlineTypeError, match="holds no encoded images, but a Tensor"):
        images({"image": torch.zeros(3)})
    with pytest.raises(RowError, match="not bytes, but a str"):
        images({"image": ["a.png"]})
    assert images({"image": []})["image"].shape == (0, 3, 8, 8)


def test_it_can_be_sent_to_a_process_after_use(photos):
    images = Images("x", 8, num_threads=2)
    wanted = images({"x": photos[1][:4]})["x"]
    copy = pickle.loads(pickle.dumps(images))
    assert torch.equal(copy({"x": photos[1][:4]})["x"], wanted)
    assert repr(copy) == "Images('x', size=(8, 8))"
    assert list(itertools.chain(wanted.shape)) == [4, 3, 8, 8]
