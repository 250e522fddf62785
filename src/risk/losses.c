/* losses.c - what one text's score costs, class by class.
 *
 * Two classes share one score z, class 0 being meant when z > 0:
 *
 *     sigmoid loss    l_0 = sigmoid(-z)        l_1 = sigmoid(z)         l_0 + l_1 = 1
 *     logistic loss   l_0 = log(1 + e^-z)      l_1 = log(1 + e^z)
 *
 * K > 2 classes have K scores, p = softmax(z):  l_k = 1 - p_k  or  -log p_k. The first of each pair
 * is symmetric (sum_k l_k does not depend on z), which is why random label noise cannot move its
 * minimum; the second is not, and fits outliers harder.
 *
 * Training calls this for every text, member and step, so the exponential is our own: e^x = 2^n e^r
 * with n = round(x / ln 2), |r| <= ln 2 / 2, and e^r by its Taylor series to r^7, whose remainder
 * is below 1e-8. The arguments are never positive, so nothing overflows; below -87 they are held
 * there (1.6e-38, the edge of the normal floats), where losses are 0 or 1 to float precision. */
#include "risk/losses.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* e^x for x <= 0, within 2 units in the last place. No branch, no call: vectorises. */
static inline float exp_negative(float x)
{
    const float shift = 0x1.8p23f; /* adding it rounds to a whole number */
    float c = x > -87.0f ? x : -87.0f;
    float n = (c * 0x1.715476p+0f + shift) - shift;
    float r = (c - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f; /* ln 2 in two: n * first is exact */
    float e = 1.0f / 5040;
    union {
        int32_t bits;
        float value;
    } power = {.bits = ((int32_t)n + 127) * (1 << 23)};

    e = e * r + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    return e * power.value;
}

size_t silr_risk_gather(risk_block *b, int K, size_t first, size_t n, const float *scores,
                        size_t stride, const int *set, const float *weight)
{
    size_t columns = K == 2 ? 1 : (size_t)K;

    b->n = n - first < BLOCK ? n - first : BLOCK;
    b->padded = (b->n + LANES - 1) / LANES * LANES;
    for (size_t i = 0; i < b->n; i++) {
        int j = set[first + i];
        bool in = j >= 0 && j < K;
        b->set[i] = in ? j : 0;
        b->w[i] = !in ? 0 : weight ? weight[first + i] : 1;
    }
    for (size_t i = b->n; i < b->padded; i++) {
        b->set[i] = 0;
        b->w[i] = 0;
    }
    scores += first * stride;
    for (size_t k = 0; k < columns; k++) {
        float *z = b->z + k * BLOCK;
        for (size_t i = 0; i < b->n; i++)
            z[i] = b->w[i] > 0 ? scores[i * stride + k] : 0;
        for (size_t i = b->n; i < b->padded; i++)
            z[i] = 0;
    }
    return b->n;
}

static void probs_two(risk_block *b)
{
    float *p0 = b->p, *p1 = b->p + BLOCK;

    for (size_t i = 0; i < b->padded; i++) {
        float t = exp_negative(-fabsf(b->z[i]));
        float big = 1 / (1 + t), small = t * big;
        p0[i] = b->z[i] > 0 ? big : small;
        p1[i] = b->z[i] > 0 ? small : big;
    }
}

static void probs_softmax(risk_block *b, int K)
{
    float top[BLOCK], sum[BLOCK] = {0};
    size_t n = b->padded;

    memcpy(top, b->z, sizeof top);
    for (int k = 1; k < K; k++)
        for (size_t i = 0; i < n; i++) {
            float v = b->z[(size_t)k * BLOCK + i];
            top[i] = v > top[i] ? v : top[i];
        }
    for (int k = 0; k < K; k++) {
        const float *z = b->z + (size_t)k * BLOCK;
        float *p = b->p + (size_t)k * BLOCK;
        for (size_t i = 0; i < n; i++) {
            p[i] = exp_negative(z[i] - top[i]);
            sum[i] += p[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        sum[i] = 1 / sum[i];
    for (int k = 0; k < K; k++)
        for (size_t i = 0; i < n; i++)
            b->p[(size_t)k * BLOCK + i] *= sum[i];
}

void silr_risk_probs(risk_block *b, int K)
{
    if (K == 2)
        probs_two(b);
    else
        probs_softmax(b, K);
}

/* -log p: from p where it is exact enough; two classes from z, which keeps small and large l. */
static void losses_log(risk_block *b, int K)
{
    if (K == 2) {
        for (size_t i = 0; i < b->padded; i++) {
            float z = b->z[i], tail = log1pf(exp_negative(-fabsf(z)));
            b->loss[i] = (z < 0 ? -z : 0) + tail;
            b->loss[BLOCK + i] = (z > 0 ? z : 0) + tail;
        }
        return;
    }
    for (size_t i = 0; i < b->padded; i++) {
        float top = b->z[i], sum = 0;
        for (int k = 1; k < K; k++)
            top = fmaxf(top, b->z[(size_t)k * BLOCK + i]);
        for (int k = 0; k < K; k++)
            sum += exp_negative(b->z[(size_t)k * BLOCK + i] - top);
        for (int k = 0; k < K; k++)
            b->loss[(size_t)k * BLOCK + i] =
                fminf(top - b->z[(size_t)k * BLOCK + i], FLT_MAX / 2) + logf(sum);
    }
}

void silr_risk_losses(risk_block *b, int K, silr_loss_kind kind)
{
    if (kind == SILR_LOSS_LOGISTIC) {
        losses_log(b, K);
    } else if (K == 2) { /* 1 - p_0 is p_1, to its last digit */
        memcpy(b->loss, b->p + BLOCK, sizeof(float) * BLOCK);
        memcpy(b->loss + BLOCK, b->p, sizeof(float) * BLOCK);
    } else {
        for (int k = 0; k < K; k++)
            for (size_t i = 0; i < b->padded; i++)
                b->loss[(size_t)k * BLOCK + i] = 1 - b->p[(size_t)k * BLOCK + i];
    }
}
