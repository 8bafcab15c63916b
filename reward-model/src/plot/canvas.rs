//! Where plots are drawn: as SVG, or as pixels of a PNG.
//!
//! One backend that is either, so that a plot is written once. Pixels are drawn at twice the size, which is sharp on
//! screens of high density, with DejaVu Sans from the program itself: a machine without fonts draws the same picture,
//! and nothing but `ab_glyph` reads the font. (Rasterising the SVG with `resvg` would take 34 more crates.)

use std::io;

use plotters::prelude::*;
use plotters::style::{FontDesc, register_font};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind};

use super::FONT;
use crate::Error;

/// Pixels per unit.
const SCALE: i32 = 2;

/// What a plot becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlotFormat {
    /// Text, for browsers and vector programs.
    #[default]
    Svg,
    /// Pixels, for everything else.
    Png,
}

impl PlotFormat {
    /// The ending of file names.
    #[must_use]
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

/// A backend that is one of two.
pub(super) enum Canvas<'a> {
    Text(SVGBackend<'a>),
    Pixels(BitMapBackend<'a>),
}

type Done = Result<(), DrawingErrorKind<io::Error>>;

/// Makes the font known under its name in plots.
pub(super) fn load_font() -> Result<(), Error> {
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| Error::Plot("the font is damaged".to_owned()))
}

/// Room for the pixels of a plot of this size.
pub(super) fn pixels((width, height): (u32, u32)) -> (Vec<u8>, (u32, u32)) {
    let size = (width * SCALE as u32, height * SCALE as u32);
    (vec![0; (3 * size.0 * size.1) as usize], size)
}

fn told<E: std::error::Error + Send + Sync>(error: DrawingErrorKind<E>) -> DrawingErrorKind<io::Error> {
    DrawingErrorKind::DrawingError(io::Error::other(error.to_string()))
}

const fn large((x, y): BackendCoord) -> BackendCoord {
    (x * SCALE, y * SCALE)
}

/// A style whose lines are as much wider as the picture is larger.
struct Wide(BackendColor, u32);

impl Wide {
    fn of(style: &impl BackendStyle) -> Self {
        Self(style.color(), style.stroke_width() * SCALE as u32)
    }
}

impl BackendStyle for Wide {
    fn color(&self) -> BackendColor {
        self.0
    }

    fn stroke_width(&self) -> u32 {
        self.1
    }
}

/// The same text at the size of the picture.
fn large_text(style: &impl BackendTextStyle) -> TextStyle<'static> {
    let font = FontDesc::new(FontFamily::Name(FONT), style.size() * f64::from(SCALE), style.style());
    TextStyle { font: font.transform(style.transform()), color: style.color(), pos: style.anchor() }
}

impl DrawingBackend for Canvas<'_> {
    type ErrorType = io::Error;

    fn get_size(&self) -> (u32, u32) {
        match self {
            Self::Text(svg) => svg.get_size(),
            Self::Pixels(map) => {
                let (width, height) = map.get_size();
                (width / SCALE as u32, height / SCALE as u32)
            }
        }
    }

    fn ensure_prepared(&mut self) -> Done {
        match self {
            Self::Text(svg) => svg.ensure_prepared().map_err(told),
            Self::Pixels(map) => map.ensure_prepared().map_err(told),
        }
    }

    fn present(&mut self) -> Done {
        match self {
            Self::Text(svg) => svg.present().map_err(told),
            Self::Pixels(map) => map.present().map_err(told),
        }
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Done {
        match self {
            Self::Text(svg) => svg.draw_pixel(point, color).map_err(told),
            Self::Pixels(map) => {
                let (x, y) = large(point);
                map.draw_rect((x, y), (x + SCALE - 1, y + SCALE - 1), &Wide(color, 1), true).map_err(told)
            }
        }
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Done {
        match self {
            Self::Text(svg) => svg.draw_line(from, to, style).map_err(told),
            Self::Pixels(map) => map.draw_line(large(from), large(to), &Wide::of(style)).map_err(told),
        }
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Done {
        match self {
            Self::Text(svg) => svg.draw_rect(upper_left, bottom_right, style, fill).map_err(told),
            Self::Pixels(map) => {
                map.draw_rect(large(upper_left), large(bottom_right), &Wide::of(style), fill).map_err(told)
            }
        }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Done {
        match self {
            Self::Text(svg) => svg.draw_path(path, style).map_err(told),
            Self::Pixels(map) => map.draw_path(path.into_iter().map(large), &Wide::of(style)).map_err(told),
        }
    }

    fn draw_circle<S: BackendStyle>(&mut self, center: BackendCoord, radius: u32, style: &S, fill: bool) -> Done {
        match self {
            Self::Text(svg) => svg.draw_circle(center, radius, style, fill).map_err(told),
            Self::Pixels(map) => {
                map.draw_circle(large(center), radius * SCALE as u32, &Wide::of(style), fill).map_err(told)
            }
        }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, vert: I, style: &S) -> Done {
        match self {
            Self::Text(svg) => svg.fill_polygon(vert, style).map_err(told),
            Self::Pixels(map) => map.fill_polygon(vert.into_iter().map(large), style).map_err(told),
        }
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, at: BackendCoord) -> Done {
        match self {
            Self::Text(svg) => svg.draw_text(text, style, at).map_err(told),
            Self::Pixels(map) => map.draw_text(text, &large_text(style), large(at)).map_err(told),
        }
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<io::Error>> {
        match self {
            Self::Text(svg) => svg.estimate_text_size(text, style).map_err(told),
            Self::Pixels(map) => map.estimate_text_size(text, style).map_err(told),
        }
    }
}
