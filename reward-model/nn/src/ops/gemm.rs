//! Matrix products on slices: a checked front of the `gemm` crate, the same kernels candle uses.

use gemm::Parallelism;

/// A read-only matrix over a slice: element (i, j) sits at `i · row_stride + j · col_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A dense row-major (rows, cols) matrix.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A row-major matrix whose rows start `row_stride` elements apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        check_extent(data.len(), rows, cols, row_stride);
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transposed view.
    pub(crate) fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

/// A row-major matrix to write to.
pub(crate) struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// A dense (rows, cols) matrix.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows start `row_stride` elements apart.
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        check_extent(data.len(), rows, cols, row_stride);
        assert!(rows <= 1 || row_stride >= cols, "rows overlap");
        Self { data, rows, cols, row_stride }
    }
}

/// `out = a · b`.
pub(crate) fn matmul(out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>) {
    product(out, a, b, false);
}

/// `out += a · b`.
pub(crate) fn matmul_add(out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>) {
    product(out, a, b, true);
}

/// `a · b`, dense and row-major, in memory that nothing was written to before.
#[expect(unsafe_code, reason = "the gemm crate takes raw pointers; the views checked their extents")]
pub(crate) fn matmul_new(a: Mat<'_>, b: Mat<'_>) -> Vec<f32> {
    assert_eq!(a.cols, b.rows, "inner dimensions differ");
    let len = a.rows * b.cols;
    if len == 0 || a.cols == 0 {
        return vec![0.0; len];
    }
    let mut out = Vec::with_capacity(len);
    // SAFETY: as in `product`; the product writes all `len` elements and reads none of them.
    unsafe {
        gemm_into(out.as_mut_ptr(), b.cols, a, b, false);
        out.set_len(len);
    }
    out
}

fn check_extent(len: usize, rows: usize, cols: usize, row_stride: usize) {
    if rows > 0 && cols > 0 {
        let needed = (rows - 1) * row_stride + cols;
        assert!(
            len >= needed,
            "a {rows}×{cols} matrix with row stride {row_stride} needs {needed} elements, got {len}"
        );
    }
}

#[expect(unsafe_code, reason = "the gemm crate takes raw pointers; the views checked their extents")]
fn product(out: MatMut<'_>, a: Mat<'_>, b: Mat<'_>, accumulate: bool) {
    assert_eq!(a.cols, b.rows, "inner dimensions differ");
    assert_eq!((out.rows, out.cols), (a.rows, b.cols), "output shape differs");
    if out.rows == 0 || out.cols == 0 {
        return;
    }
    // SAFETY: every view was checked to lie inside its slice when it was made, the dimensions
    // agree, and `out` is borrowed mutably, so it overlaps neither input.
    unsafe { gemm_into(out.data.as_mut_ptr(), out.row_stride, a, b, accumulate) };
}

/// # Safety
/// `out` must be valid for writing, and for reading where it is added to, at every element of (a.rows, b.cols)
/// with this row stride; `a.cols` must be `b.rows`.
#[expect(unsafe_code, reason = "the gemm crate takes raw pointers; the views checked their extents")]
unsafe fn gemm_into(out: *mut f32, row_stride: usize, a: Mat<'_>, b: Mat<'_>, accumulate: bool) {
    let parallelism = match rayon::current_num_threads() {
        0 | 1 => Parallelism::None,
        threads => Parallelism::Rayon(threads),
    };
    // SAFETY: the views lie inside their slices, `out` is as the caller promises.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            out,
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_definition() {
        let a: Vec<f32> = (0..6).map(|i| i as f32).collect(); // (2, 3)
        let b: Vec<f32> = (0..12).map(|i| i as f32 * 0.5).collect(); // (4, 3), used transposed
        let mut out = vec![7.0; 2 * 5];
        matmul(MatMut::strided(&mut out, 2, 4, 5), Mat::new(&a, 2, 3), Mat::new(&b, 4, 3).t());
        matmul_add(MatMut::strided(&mut out, 2, 4, 5), Mat::new(&a, 2, 3), Mat::new(&b, 4, 3).t());
        for i in 0..2 {
            for j in 0..4 {
                let expected: f32 = (0..3).map(|k| a[i * 3 + k] * b[j * 3 + k]).sum();
                assert_eq!(out[i * 5 + j], 2.0 * expected);
            }
        }
        assert_eq!(out[4], 7.0, "the gap between rows is not written");
        let new = matmul_new(Mat::new(&a, 2, 3), Mat::new(&b, 4, 3).t());
        for (i, row) in new.chunks(4).enumerate() {
            assert!(row.iter().zip(&out[i * 5..]).all(|(new, twice)| 2.0 * new == *twice));
        }
        assert_eq!(matmul_new(Mat::new(&[], 2, 0), Mat::new(&[], 0, 3)), [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "needs 6 elements, got 5")]
    fn a_slice_shorter_than_its_matrix_is_refused() {
        Mat::new(&[0.0; 5], 2, 3);
    }
}
