//! Where the tokens of sequences come from.

use std::sync::Arc;

use super::documents::{Documents, PackSource, Piece};
use super::fitted::{Draw, OpenBundle, by_bundle};
use super::lists::ListSource;
use crate::decode::{PackColumns, Projection, wanted};
use crate::fetch::{Demand, Files};
use crate::files::Plan;
use crate::files::remote::StoreAccess;
use crate::order::GroupSlice;
use crate::select::{Selections, Selector};
use crate::{Error, Result};

/// Tokens of a document: the row group, counted over all files; the row in it; and the range of the document's tokens,
/// those around its list counted in.
pub type Origin = (usize, u64, u64, u64);

/// The pieces of every sequence of these slices, in order. Reads the lists of the row groups up to them.
///
/// # Errors
/// Whatever goes wrong with reading.
pub fn origins(
    plan: &Arc<Plan>,
    store: StoreAccess,
    selector: Option<&Arc<Selector>>,
    projection: &Projection,
    slices: &[GroupSlice],
    draw: Draw,
) -> Result<Vec<Vec<Origin>>> {
    let (columns, pack) = projection.packing().ok_or_else(|| Error::internal("only packed columns have tokens"))?;
    let line = plan.token_line().ok_or_else(|| Error::internal("tokens that were not counted"))?;
    let of_filter = selector.iter().flat_map(|selector| selector.columns());
    let filters = wanted(of_filter.flat_map(|column| &column.sources));
    let demand = Demand { columns: wanted(std::iter::once(columns.lists)), filters, ..Demand::default() };
    let files =
        if selector.is_some() { Files::with_statistics(Arc::clone(plan)) } else { Files::new(Arc::clone(plan)) };
    let files = files.reading(store, demand);
    let selections = selector.map(|selector| Selections::new(Arc::clone(selector)));
    let alone = PackColumns { lengths: None, ..columns.alone() };
    let lists = ListSource { files: &files, selections: selections.as_ref(), columns: alone, pool: None };
    let from = PackSource { lists, pack, line };
    let origin = |piece: Piece| {
        let set = selections.as_ref().map(|selections| selections.rows(&files, piece.group)).transpose()?;
        let row = set.map_or(piece.row, |set| set.row(piece.row));
        Ok((piece.group, row, piece.tokens.start, piece.tokens.end))
    };
    let mut found = Vec::new();
    if line.bundle_counts().is_some() {
        let mut open: Option<OpenBundle> = None;
        for slice in slices {
            for (number, sequences) in by_bundle(line, slice.group as usize, &slice.rows) {
                let kept = open.take().filter(|bundle| bundle.number() == number);
                let bundle = open.insert(kept.map_or_else(|| OpenBundle::read(&from, number, draw), Ok)?);
                for sequence in sequences {
                    found.push(bundle.pieces(sequence).map(origin).collect::<Result<_>>()?);
                }
            }
        }
        return Ok(found);
    }
    let mut at: Option<(u32, Documents)> = None;
    for slice in slices {
        let group = slice.group as usize;
        let start = line.range(group, &slice.rows).start;
        let mut documents = match at.take() {
            Some((last, documents)) if last == slice.group && documents.position(line) <= start => documents,
            _ => Documents::new(&from, group),
        };
        documents.skip(&from, start - documents.position(line))?;
        for _ in slice.rows.clone() {
            let (mut left, mut pieces) = (pack.seq_len as u64, Vec::new());
            while left > 0
                && let Some(piece) = documents.take::<u8>(&from, left, None)?
            {
                left -= piece.slot;
                pieces.push(origin(piece)?);
            }
            found.push(pieces);
        }
        at = Some((slice.group, documents));
    }
    Ok(found)
}
