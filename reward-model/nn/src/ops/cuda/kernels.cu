// Kernels of the operations, compiled at run time by NVRTC: no headers, so that no toolkit is needed there.
//
// Every kernel comes for f32 and bf16 storage; arithmetic is f32. Rows are the innermost contiguous
// dimension. Arguments: inputs, output, integers, numbers, in this order.

typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;

struct bf16 {
  u16 bits;
};

__device__ __forceinline__ float get(const float* p, i64 i) { return p[i]; }
__device__ __forceinline__ float get(const bf16* p, i64 i) { return __uint_as_float((u32)p[i].bits << 16); }

__device__ __forceinline__ void put(float* p, i64 i, float v) { p[i] = v; }
// Rounds to nearest, ties to even.
__device__ __forceinline__ void put(bf16* p, i64 i, float v) {
  u32 b = __float_as_uint(v);
  p[i].bits = v != v ? 0x7fff : (u16)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}

__device__ __forceinline__ float warp_sum(float v) {
  for (int step = 16; step > 0; step >>= 1) v += __shfl_xor_sync(0xffffffffu, v, step);
  return v;
}

__device__ __forceinline__ float warp_max(float v) {
  for (int step = 16; step > 0; step >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
  return v;
}

// Sum or maximum over the block, for every thread.
template <bool IS_SUM>
__device__ float block_all(float v) {
  __shared__ float parts[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
  v = IS_SUM ? warp_sum(v) : warp_max(v);
  __syncthreads();
  if (lane == 0) parts[warp] = v;
  __syncthreads();
  float all = lane < warps ? parts[lane] : (IS_SUM ? 0.0f : -3.0e38f);
  return IS_SUM ? warp_sum(all) : warp_max(all);
}

// Mean (0 unless `centred`) and reciprocal deviation of one row.
template <class T>
__device__ float2 row_stats(const T* x, int width, int centred, float eps) {
  float sum = 0.0f;
  if (centred)
    for (int i = threadIdx.x; i < width; i += blockDim.x) sum += get(x, i);
  float mean = centred ? block_all<true>(sum) / width : 0.0f;
  float squares = 0.0f;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float d = get(x, i) - mean;
    squares += d * d;
  }
  return make_float2(mean, rsqrtf(block_all<true>(squares) / width + eps));
}

// Layer norm (centred, with bias) and RMSNorm: one block per row; `bias` is `weight` where there is none.
template <class T>
__device__ void norm_forward(const T* x, const float* weight, const float* bias, T* y, int width, int centred,
                             float eps) {
  i64 from = (i64)blockIdx.x * width;
  float2 stats = row_stats(x + from, width, centred, eps);
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float shift = centred ? bias[i] : 0.0f;
    put(y, from + i, (get(x, from + i) - stats.x) * stats.y * weight[i] + shift);
  }
}

// dx = r (g w − mean(g w) − x̂ mean(g w x̂)); the first mean is left out where rows are not centred.
template <class T>
__device__ void norm_backward(const T* x, const float* weight, const T* grad, T* d_x, int width, int centred,
                              float eps) {
  i64 from = (i64)blockIdx.x * width;
  float2 stats = row_stats(x + from, width, centred, eps);
  float plain = 0.0f, along = 0.0f;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float gw = get(grad, from + i) * weight[i];
    plain += gw;
    along += gw * (get(x, from + i) - stats.x) * stats.y;
  }
  plain = centred ? block_all<true>(plain) / width : 0.0f;
  along = block_all<true>(along) / width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float unit = (get(x, from + i) - stats.x) * stats.y;
    put(d_x, from + i, stats.y * (get(grad, from + i) * weight[i] - plain - unit * along));
  }
}

template <class T>
__device__ void norm_stats(const T* x, float* stats, int width, int centred, float eps) {
  float2 of_row = row_stats(x + (i64)blockIdx.x * width, width, centred, eps);
  if (threadIdx.x == 0) ((float2*)stats)[blockIdx.x] = of_row;
}

// Gradients of weight and bias over blocks of rows: (row blocks, 2, width), to be added up.
template <class T>
__device__ void norm_params(const T* x, const T* grad, const float* stats, float* out, int rows, int width,
                            int per_block) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= width) return;
  float of_weight = 0.0f, of_bias = 0.0f;
  int end = min(rows, (int)(blockIdx.y + 1) * per_block);
  for (int row = blockIdx.y * per_block; row < end; row++) {
    float g = get(grad, (i64)row * width + column);
    of_weight += g * (get(x, (i64)row * width + column) - stats[2 * row]) * stats[2 * row + 1];
    of_bias += g;
  }
  out[((i64)blockIdx.y * 2) * width + column] = of_weight;
  out[((i64)blockIdx.y * 2 + 1) * width + column] = of_bias;
}

// Column sums over blocks of rows: (row blocks, width), to be added up.
template <class T>
__device__ void sum_rows(const T* x, float* out, int rows, int width, int per_block) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= width) return;
  float sum = 0.0f;
  int end = min(rows, (int)(blockIdx.y + 1) * per_block);
  for (int row = blockIdx.y * per_block; row < end; row++) sum += get(x, (i64)row * width + column);
  out[(i64)blockIdx.y * width + column] = sum;
}

// Element counts are below 2³¹, and 32-bit divisions several times faster than 64-bit ones.
#define EACH(n) u32 i = blockIdx.x * blockDim.x + threadIdx.x; if (i < (u32)(n))

template <class T>
__device__ void gelu_forward(const T* x, T* y, int n) {
  EACH(n) {
    float v = get(x, i);
    put(y, i, 0.5f * v * (1.0f + erff(v * 0.70710678f)));
  }
}

template <class T>
__device__ void gelu_backward(const T* x, const T* grad, T* d_x, int n) {
  EACH(n) {
    float v = get(x, i);
    float slope = 0.5f * (1.0f + erff(v * 0.70710678f)) + v * 0.39894228f * expf(-0.5f * v * v);
    put(d_x, i, get(grad, i) * slope);
  }
}

template <class T>
__device__ void swiglu_forward(const T* gate, const T* up, T* y, int n) {
  EACH(n) {
    float z = get(gate, i);
    put(y, i, z / (1.0f + expf(-z)) * get(up, i));
  }
}

// Gradients of gate and up one after the other: (2, n).
template <class T>
__device__ void swiglu_backward(const T* gate, const T* up, const T* grad, T* out, int n) {
  EACH(n) {
    float z = get(gate, i), s = 1.0f / (1.0f + expf(-z)), g = get(grad, i);
    put(out, i, g * get(up, i) * s * (1.0f + z * (1.0f - s)));
    put(out, (i64)n + i, g * z * s);
  }
}

template <class T>
__device__ void add_bias(const T* bias, T* y, int n, u32 width) {
  EACH(n) put(y, i, get(y, i) + get(bias, i % width));
}

// (B, T, kv_heads · d) to (B, heads, T, d), each head for its group of queries; turned by its position
// where `rotary` is set.
template <class T>
__device__ void split_heads(const T* x, const float* cos, const float* sin, T* out, int n, u32 len, u32 heads,
                            u32 group, u32 d, int rotary) {
  EACH(n) {
    u32 rest = i / d, e = i - rest * d;
    u32 above = rest / len, t = rest - above * len;
    u32 b = above / heads, h = above - b * heads;
    u32 from = ((b * len + t) * (heads / group) + h / group) * d;
    float v = get(x, from + e);
    if (rotary) {
      u32 half = d / 2, pair = e < half ? e : e - half;
      float c = cos[t * half + pair], s = sin[t * half + pair];
      v = e < half ? v * c - get(x, from + half + e) * s : v * c + get(x, from + e - half) * s;
    }
    put(out, i, v);
  }
}

// The transpose of split_heads: groups are added up, turns are undone.
template <class T>
__device__ void merge_heads(const T* x, const float* cos, const float* sin, T* out, int n, u32 len, u32 heads,
                            u32 group, u32 d, int rotary) {
  EACH(n) {
    u32 kv_heads = heads / group;
    u32 rest = i / d, e = i - rest * d;
    u32 above = rest / kv_heads, h = rest - above * kv_heads;
    u32 b = above / len, t = above - b * len;
    float sum = 0.0f;
    for (u32 member = 0; member < group; member++) {
      u32 from = ((b * heads + h * group + member) * len + t) * d;
      float v = get(x, from + e);
      if (rotary) {
        u32 half = d / 2, pair = e < half ? e : e - half;
        float c = cos[t * half + pair], s = sin[t * half + pair];
        v = e < half ? v * c + get(x, from + half + e) * s : v * c - get(x, from + e - half) * s;
      }
      sum += v;
    }
    put(out, i, sum);
  }
}

// softmax(scale · z) over the columns that a row sees; a warp per row of (B, heads, T, T). Rows that are
// padding are zero.
template <class T>
__device__ void softmax_forward(const T* z, const u32* lengths, T* p, int rows, int heads, int len, int causal,
                                float scale) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, lane = threadIdx.x & 31;
  if (row >= rows) return;
  int t = row % len;
  int length = causal ? len : (int)lengths[row / (heads * len)];
  int seen = t < length ? (causal ? t + 1 : length) : 0;
  i64 from = (i64)row * len;
  float top = -3.0e38f, sum = 0.0f;
  for (int i = lane; i < seen; i += 32) top = fmaxf(top, get(z, from + i));
  top = warp_max(top);
  for (int i = lane; i < seen; i += 32) sum += expf((get(z, from + i) - top) * scale);
  float factor = seen ? 1.0f / warp_sum(sum) : 0.0f;
  for (int i = lane; i < len; i += 32)
    put(p, from + i, i < seen ? expf((get(z, from + i) - top) * scale) * factor : 0.0f);
}

// dz = scale · p (g − Σ p g).
template <class T>
__device__ void softmax_backward(const T* p, const T* grad, T* d_z, int rows, int len, float scale) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, lane = threadIdx.x & 31;
  if (row >= rows) return;
  i64 from = (i64)row * len;
  float dot = 0.0f;
  for (int i = lane; i < len; i += 32) dot += get(p, from + i) * get(grad, from + i);
  dot = warp_sum(dot);
  for (int i = lane; i < len; i += 32) put(d_z, from + i, scale * get(p, from + i) * (get(grad, from + i) - dot));
}

// log softmax(scale · z)[token], not a number where there is no such token; one block per row.
template <class T>
__device__ void logprob_forward(const T* z, const u32* tokens, float* out, int width, float scale) {
  i64 from = (i64)blockIdx.x * width;
  float top = -3.0e38f, sum = 0.0f;
  for (int i = threadIdx.x; i < width; i += blockDim.x) top = fmaxf(top, get(z, from + i));
  top = block_all<false>(top);
  for (int i = threadIdx.x; i < width; i += blockDim.x) sum += expf((get(z, from + i) - top) * scale);
  sum = block_all<true>(sum);
  u32 token = tokens[blockIdx.x];
  if (threadIdx.x == 0)
    out[blockIdx.x] = token < (u32)width ? (get(z, from + token) - top) * scale - logf(sum) : nanf("");
}

// dz_j = g scale (1[j = token] − p_j), with logsumexp = scale z_token − log p.
template <class T>
__device__ void logprob_backward(const T* z, const u32* tokens, const float* logprobs, const float* grad, T* d_z,
                                 int width, float scale) {
  i64 from = (i64)blockIdx.x * width;
  int token = min(tokens[blockIdx.x], (u32)width - 1);
  float normaliser = get(z, from + token) * scale - logprobs[blockIdx.x], factor = grad[blockIdx.x] * scale;
  for (int i = threadIdx.x; i < width; i += blockDim.x)
    put(d_z, from + i, factor * ((i == token ? 1.0f : 0.0f) - expf(get(z, from + i) * scale - normaliser)));
}

#define BOTH(NAME, ARGUMENTS, CALL)                                              \
  extern "C" __global__ void NAME##_f32 ARGUMENTS(float) { NAME<float> CALL; }   \
  extern "C" __global__ void NAME##_bf16 ARGUMENTS(bf16) { NAME<bf16> CALL; }

#define NORM_FORWARD(T) (const T* x, const float* w, const float* b, T* y, int width, int centred, float eps)
BOTH(norm_forward, NORM_FORWARD, (x, w, b, y, width, centred, eps))
#define NORM_BACKWARD(T) (const T* x, const float* w, const T* g, T* y, int width, int centred, float eps)
BOTH(norm_backward, NORM_BACKWARD, (x, w, g, y, width, centred, eps))
#define NORM_STATS(T) (const T* x, float* y, int width, int centred, float eps)
BOTH(norm_stats, NORM_STATS, (x, y, width, centred, eps))
#define NORM_PARAMS(T) (const T* x, const T* g, const float* s, float* y, int rows, int width, int per_block)
BOTH(norm_params, NORM_PARAMS, (x, g, s, y, rows, width, per_block))
#define SUM_ROWS(T) (const T* x, float* y, int rows, int width, int per_block)
BOTH(sum_rows, SUM_ROWS, (x, y, rows, width, per_block))
#define ONE(T) (const T* x, T* y, int n)
BOTH(gelu_forward, ONE, (x, y, n))
#define TWO(T) (const T* x, const T* z, T* y, int n)
BOTH(gelu_backward, TWO, (x, z, y, n))
BOTH(swiglu_forward, TWO, (x, z, y, n))
#define THREE(T) (const T* x, const T* z, const T* g, T* y, int n)
BOTH(swiglu_backward, THREE, (x, z, g, y, n))
#define ADD_BIAS(T) (const T* x, T* y, int n, int width)
BOTH(add_bias, ADD_BIAS, (x, y, n, width))
#define HEADS(T) \
  (const T* x, const float* c, const float* s, T* y, int n, int len, int heads, int group, int d, int rotary)
BOTH(split_heads, HEADS, (x, c, s, y, n, len, heads, group, d, rotary))
BOTH(merge_heads, HEADS, (x, c, s, y, n, len, heads, group, d, rotary))
#define SOFTMAX_FORWARD(T) (const T* x, const u32* l, T* y, int rows, int heads, int len, int causal, float scale)
BOTH(softmax_forward, SOFTMAX_FORWARD, (x, l, y, rows, heads, len, causal, scale))
#define SOFTMAX_BACKWARD(T) (const T* p, const T* g, T* y, int rows, int len, float scale)
BOTH(softmax_backward, SOFTMAX_BACKWARD, (p, g, y, rows, len, scale))
#define LOGPROB_FORWARD(T) (const T* x, const u32* t, float* y, int width, float scale)
BOTH(logprob_forward, LOGPROB_FORWARD, (x, t, y, width, scale))
#define LOGPROB_BACKWARD(T) (const T* x, const u32* t, const float* l, const float* g, T* y, int width, float scale)
BOTH(logprob_backward, LOGPROB_BACKWARD, (x, t, l, g, y, width, scale))

// Rows of a table by number, one block per row of the output; not a number where the table has no such row.
extern "C" __global__ void embed_f32(const float* table, const u32* tokens, float* out, int width, u32 rows) {
  u32 token = tokens[blockIdx.x];
  i64 from = (i64)token * width, to = (i64)blockIdx.x * width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) out[to + i] = token < rows ? table[from + i] : nanf("");
}

// Adds the rows of the gradient to those of the table's, which starts at 0. In no particular order: sums of rows
// that occur several times differ from run to run by rounding.
extern "C" __global__ void embed_backward_f32(const float* grad, const u32* tokens, float* d_table, int width,
                                              u32 rows) {
  if (tokens[blockIdx.x] >= rows) return;
  i64 from = (i64)blockIdx.x * width, to = (i64)tokens[blockIdx.x] * width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) atomicAdd(d_table + to + i, grad[from + i]);
}

// AdamW in one pass over memory; the moments are written too. `m` and `v` are inputs by place only.
extern "C" __global__ void adamw(float* m, float* v, const float* grad, float* theta, int n, float beta1, float beta2,
                                 float rate, float unbias, float decay, float eps) {
  EACH(n) {
    float g = grad[i];
    m[i] = beta1 * m[i] + (1.0f - beta1) * g;
    v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
    theta[i] = theta[i] * decay - rate * m[i] / (sqrtf(v[i] * unbias) + eps);
  }
}
