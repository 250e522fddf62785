/* ops.h - the operations that a transformer is made of: one table, several backends.
 *
 * Known inside engine/ (and its tests and benches) only. `silr_ops_plain` is loops a student can
 * read; `silr_ops_cpu` is fast and is judged against it, op by op. A backend that lacks an operation
 * points to the plain one.
 *
 * Texts of different lengths lie one behind the other in a stream of n tokens: no padding. All
 * activations are floats, a row a token. The result of a row depends on nothing but that row (and,
 * for attention, the rows of its own text): not on what else is in the stream, how long it is, nor
 * the number of threads. Every sum over a row's values runs in one fixed order.
 *
 * Functions that cannot fail return nothing: shapes were checked when the model was loaded. */
#ifndef SILR_ENGINE_OPS_H
#define SILR_ENGINE_OPS_H

#include "formats/formats.h"

/* How a backend keeps matrices: as floats in the layout that multiplies fastest, or as the file has
 * them (quantised), turned into floats a tile at a time as they are used. */
typedef enum { SILR_KEEP_FAST, SILR_KEEP_AS_FILED } silr_keep;

/* One or more matrices [out_i][in] stacked to one of out = sum out_i rows, with biases [out_i] or
 * NULL; made and owned by a backend. */
typedef struct silr_linear silr_linear;

typedef struct {
    size_t heads, kv_heads, head_dim;
    double scale, cap; /* score = cap * tanh(scale q.k / cap); cap 0: scale q.k */
    bool causal;
    size_t window; /* causal: key j is seen from i when i - j < window; not causal: |i - j| <= window/2;
                      0: all */
} silr_attention;

/* One text's share of an attention call. Query i (of n) has position n_prefix + n_own - n + i among
 * n_prefix + n_own keys: a prefix that texts share, then the text's own. Rows of q and out are
 * `heads * head_dim` floats apart by their strides; rows of keys and values `kv_heads * head_dim`. */
typedef struct {
    size_t n;                 /* queries */
    const float *q;
    float *out;
    size_t n_own;             /* >= n */
    const float *k, *v;
    size_t n_prefix;
    const float *prefix_k, *prefix_v; /* NULL where n_prefix is 0 */
} silr_attention_text;

typedef struct {
    size_t q, out, kv, prefix; /* floats from one row to the next */
} silr_attention_strides;

/* What attention's backward pass needs of one text beside the silr_attention_text of the forward
 * pass, whose q, k, v are still what they were then and whose out holds the answer. No prefix; n may
 * be below n_own: the queries are the last n rows. Strides: dout as out, dq as q, dk and dv as kv. */
typedef struct {
    const float *dout;
    float *dq;       /* [n] rows, written */
    float *dk, *dv;  /* [n_own] rows, written: the sums over the heads that share them */
} silr_attention_back;

typedef struct silr_ops {
    const char *name;

    /* SILR_ENOMEM; SILR_EINPUT: a type that cannot be computed with. */
    silr_status (*linear_new)(silr_linear **out, const silr_tensor *const *weight,
                              const silr_tensor *const *bias, size_t n, silr_keep keep,
                              silr_error *err);
    void (*linear_free)(silr_linear *w);
    size_t (*linear_bytes)(const silr_linear *w); /* memory it owns; mapped bytes not counted */
    /* y[n][out] = x[n][in] W^T + bias, or with `add` y += the same. Rows are ldx and ldy floats apart. */
    silr_status (*linear)(const silr_linear *w, const float *x, size_t n, size_t ldx, float *y,
                          size_t ldy, bool add, silr_error *err);

    /* out[i] = row id[i] of the table, times scale. */
    void (*gather)(const silr_tensor *table, const uint32_t *id, size_t n, float scale, float *out);
    /* y = x / rms(x) * (w + plus), row by row; x and y may be the same; dim at a time, so that with
     * n = tokens * heads and dim = head_dim it is the norm of each head. Rows ldx, ldy apart. */
    void (*rms_norm)(const float *x, size_t ldx, const float *w, float plus, double epsilon, size_t n,
                     size_t dim, float *y, size_t ldy);
    /* y = (x - mean) / sd * w + b, the same. */
    void (*layer_norm)(const float *x, size_t ldx, const float *w, const float *b, double epsilon,
                       size_t n, size_t dim, float *y, size_t ldy);
    /* Turns the first `dims` values of each of `heads` heads of every row in place by its position;
     * table [positions][dims]: cos, sin by pairs. interleaved: pairs (2i, 2i+1), else (i, i + dims/2). */
    void (*rope)(float *x, size_t ldx, size_t n, size_t heads, size_t head_dim, size_t dims,
                 const uint32_t *position, const float *table, bool interleaved);
    silr_status (*attention)(const silr_attention *a, const silr_attention_strides *s,
                             const silr_attention_text *text, size_t n_texts, silr_error *err);
    /* y[n][dim] = act(x[n][dim]) * gate-less, or act(x) * up, where x and up are rows of one matrix
     * (ldx apart; up NULL: not gated). y may be x. */
    void (*activate)(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                     size_t dim, float *y, size_t ldy);
    void (*add)(float *y, const float *x, size_t count); /* y += x */

    /* --- backward: d is the derivative of the loss by the value that it is named after. ---------- */

    /* dx[n][in] = dy[n][out] W, or with `add` dx += the same. Rows are lddy and lddx floats apart. For
     * any matrix that linear_new made; faster after linear_ready_back. SILR_ENOMEM. */
    silr_status (*linear_back)(const silr_linear *w, const float *dy, size_t n, size_t lddy, float *dx,
                               size_t lddx, bool add, silr_error *err);
    /* Prepares a matrix for linear_back where that costs memory (a copy that is packed the other way),
     * which linear_bytes counts; twice is as good as once. SILR_ENOMEM: it is as it was. */
    silr_status (*linear_ready_back)(silr_linear *w, silr_error *err);
    /* C[m][n] = alpha A B, or with `add` C += the same, for matrices that change and are never packed
     * ahead. A is [m][k], with turn_a given as [k][m]; B is [k][n], with turn_b given as [n][k]; rows
     * are lda, ldb, ldc floats apart. Each of m, n, k may be 1 or tens of thousands. SILR_ENOMEM. */
    silr_status (*product)(bool turn_a, bool turn_b, size_t m, size_t n, size_t k, float alpha,
                           const float *a, size_t lda, const float *b, size_t ldb, float *c, size_t ldc,
                           bool add, silr_error *err);
    /* From x as it went in: dx += ..., and dw [dim] += the sum over the rows where dw is not NULL. dx
     * and dy may not be the same. Of heads: as for rms_norm, a call a head. */
    void (*rms_norm_back)(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                          size_t n, size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx,
                          float *dw);
    /* The same; db as dw. */
    void (*layer_norm_back)(const float *x, size_t ldx, const float *w, double epsilon, size_t n,
                            size_t dim, const float *dy, size_t lddy, float *dx, size_t lddx, float *dw,
                            float *db);
    /* The backward pass of rope is rope by a table whose sines are negated: it needs no operation. */
    /* SILR_ENOMEM. */
    silr_status (*attention_back)(const silr_attention *a, const silr_attention_strides *s,
                                  const silr_attention_text *text, const silr_attention_back *back,
                                  size_t n_texts, silr_error *err);
    /* From x and up as they went in: dx and dup (with up NULL, it is not looked at) are written, rows
     * lddx apart. dx may be x and dup may be up. */
    void (*activate_back)(silr_activation act, const float *x, const float *up, size_t ldx, size_t n,
                          size_t dim, const float *dy, size_t lddy, float *dx, float *dup, size_t lddx);
    /* y[i][k] = x[i][k] / (1 - rate) where it is kept, else 0; with `add` y += the same; y may be x. It
     * is kept or not by a number that depends on key, row[i] and k alone, so that the same call masks
     * the gradient: row says which row it is (a text's number and the position in it), whatever batch,
     * order or rank it comes in. 0 <= rate < 1, to 1/65536. */
    void (*dropout)(uint64_t key, double rate, const uint64_t *row, const float *x, size_t ldx, size_t n,
                    size_t dim, float *y, size_t ldy, bool add);
    /* Of gather: dtable[id[i]] += scale * dy[i], the rows in their order. */
    void (*gather_back)(const uint32_t *id, size_t n, float scale, const float *dy, size_t dim,
                        float *dtable);
} silr_ops;

extern const silr_ops silr_ops_plain;
/* The fast one for this machine, chosen at run time (AVX2, AVX-512, else plain C that the compiler
 * vectorised): always there. */
const silr_ops *silr_ops_cpu(void);
const char *silr_ops_cpu_describe(void); /* "AVX2": for doctor and manifest */

#endif
