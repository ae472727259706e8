//! Figures as PNG.

use std::io;
use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

use super::Figure;

/// Pixels per unit of the figure.
const SCALE: f32 = 2.0;

/// The fonts of this machine, which are looked for once.
fn fonts() -> &'static Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    FONTS.get_or_init(|| {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        let families = || fonts.faces().flat_map(|face| face.families.iter().map(|(name, _)| name.clone()));
        let known = ["DejaVu Sans", "Liberation Sans", "Noto Sans", "Arial", "Helvetica"];
        let named = known.iter().find(|name| families().any(|family| family == **name));
        let first = named.map(ToString::to_string).or_else(|| families().next());
        if let Some(family) = first {
            fonts.set_sans_serif_family(family);
        }
        Arc::new(fonts)
    })
}

/// A figure as PNG, light, by the fonts of this machine.
///
/// # Errors
/// When it has no font.
pub(crate) fn png(figure: &Figure) -> io::Result<Vec<u8>> {
    if fonts().is_empty() {
        return Err(io::Error::other(
            "this machine has no fonts; install some, such as DejaVu, or write SVG",
        ));
    }
    let options = Options { fontdb: fonts().clone(), ..Options::default() };
    let tree = Tree::from_str(&figure.svg(false), &options).map_err(io::Error::other)?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let size = size.ok_or_else(|| io::Error::other("the figure is too large"))?;
    let mut pixels = Pixmap::new(size.width(), size.height())
        .ok_or_else(|| io::Error::other("the figure is too large"))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(io::Error::other)
}
