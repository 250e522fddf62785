/* body_rows.h - what happens to each row by itself. Part of body.h. */

/* y = x / sqrt(mean x^2 + epsilon) * (w + plus) */
TARGET static void rms_norm(const float *x, size_t ldx, const float *w, float plus, double epsilon,
                            size_t n, size_t dim, float *y, size_t ldy)
{
    for (size_t t = 0; t < n; t++, x += ldx, y += ldy) {
        vec sum = SET1(0.0F), r;
        for (size_t k = 0; k < dim; k += LANES) {
            vec v = load_most(x + k, dim - k, 0.0F);
            sum = FMA(v, v, sum);
        }
        r = SET1((float)(1 / sqrt((double)sum_of(sum) / (double)dim + epsilon)));
        for (size_t k = 0; k < dim; k += LANES)
            store_most(y + k, dim - k,
                       load_most(x + k, dim - k, 0.0F) * r *
                           (load_most(w + k, dim - k, 0.0F) + SET1(plus)));
    }
}

/* y = (x - mean) / sqrt(variance + epsilon) * w + b */
TARGET static void layer_norm(const float *x, size_t ldx, const float *w, const float *b,
                              double epsilon, size_t n, size_t dim, float *y, size_t ldy)
{
    for (size_t t = 0; t < n; t++, x += ldx, y += ldy) {
        vec sum = SET1(0.0F), mean, r;
        float m;
        for (size_t k = 0; k < dim; k += LANES)
            sum += load_most(x + k, dim - k, 0.0F);
        m = (float)((double)sum_of(sum) / (double)dim);
        mean = SET1(m);
        sum = SET1(0.0F);
        for (size_t k = 0; k < dim; k += LANES) {
            vec v = load_most(x + k, dim - k, m) - mean;
            sum = FMA(v, v, sum);
        }
        r = SET1((float)(1 / sqrt((double)sum_of(sum) / (double)dim + epsilon)));
        for (size_t k = 0; k < dim; k += LANES) {
            vec v = (load_most(x + k, dim - k, m) - mean) * r;
            store_most(y + k, dim - k,
                       FMA(v, load_most(w + k, dim - k, 0.0F), load_most(b + k, dim - k, 0.0F)));
        }
    }
}

INLINE void turn(float *a, float *b, const float *by)
{
    float a0 = *a, b0 = *b;

    *a = a0 * by[0] - b0 * by[1];
    *b = a0 * by[1] + b0 * by[0];
}

TARGET static void rope(float *x, size_t ldx, size_t n, size_t heads, size_t head_dim, size_t dims,
                        const uint32_t *position, const float *table, bool interleaved)
{
    size_t half = dims / 2;

    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < heads; h++) {
            const float *by = table + position[t] * dims;
            float *head = x + t * ldx + h * head_dim;
            if (interleaved)
                for (size_t i = 0; i < half; i++)
                    turn(head + 2 * i, head + 2 * i + 1, by + 2 * i);
            else
                for (size_t i = 0; i < half; i++)
                    turn(head + i, head + half + i, by + 2 * i);
        }
}

INLINE void activate_rows(vec (*f)(vec), const float *x, const float *up, size_t ldx, size_t n,
                          size_t dim, float *y, size_t ldy)
{
    for (size_t t = 0; t < n; t++)
        for (size_t k = 0; k < dim; k += LANES) {
            vec v = f(load_most(x + t * ldx + k, dim - k, 0.0F));
            if (up)
                v *= load_most(up + t * ldx + k, dim - k, 0.0F);
            store_most(y + t * ldy + k, dim - k, v);
        }
}

TARGET static void activate(silr_activation act, const float *x, const float *up, size_t ldx,
                            size_t n, size_t dim, float *y, size_t ldy)
{
    switch (act) {
    case SILR_ACT_SILU: activate_rows(silu, x, up, ldx, n, dim, y, ldy); break;
    case SILR_ACT_GELU: activate_rows(gelu, x, up, ldx, n, dim, y, ldy); break;
    case SILR_ACT_GELU_TANH: activate_rows(gelu_tanh, x, up, ldx, n, dim, y, ldy); break;
    }
}

TARGET static void add(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += x[i];
}

TARGET static void scale(float *x, float by, size_t count)
{
    for (size_t i = 0; i < count; i++)
        x[i] *= by;
}
