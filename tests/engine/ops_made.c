#include "ops_made.h"
#include <math.h>
#include <string.h>

silr_error err;

void must(silr_status st)
{
    if (st != SILR_OK)
        fail_msg("%s", err.text);
}

static const float UNTOUCHED = -12345.0F;

float *untouched(size_t rows, size_t ld)
{
    float *v = silr_alloc(rows * ld, sizeof *v);

    assert_non_null(v);
    for (size_t i = 0; i < rows * ld; i++)
        v[i] = UNTOUCHED;
    return v;
}

void gaps_are_untouched(const float *v, size_t rows, size_t width, size_t ld)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = width; i < ld; i++)
            assert_true(v[r * ld + i] == UNTOUCHED);
}

void close_to(const char *what, double distance, double most)
{
    if (!(distance <= most))
        fail_msg("%s: %g apart, more than %g", what, distance, most);
}

float *made(uint64_t seed, size_t n)
{
    float *v = silr_alloc(n, sizeof *v);
    silr_rng rng;

    assert_non_null(v);
    silr_rng_init(&rng, seed, SILR_RNG_TEST, 0, n);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)silr_rng_normal(&rng);
    return v;
}

/* Where the halves lie in a block: scales, which random bytes would make infinite now and then. */
static void set_scales(silr_type type, uint8_t *block, silr_rng *rng)
{
    static const struct {
        int n;
        size_t at[2];
    } halves[SILR_TYPES] = {
        [SILR_TYPE_Q8_0] = {1, {0}},    [SILR_TYPE_Q4_0] = {1, {0}},    [SILR_TYPE_Q4_1] = {2, {0, 2}},
        [SILR_TYPE_Q5_0] = {1, {0}},    [SILR_TYPE_Q5_1] = {2, {0, 2}}, [SILR_TYPE_Q4_K] = {2, {0, 2}},
        [SILR_TYPE_Q5_K] = {2, {0, 2}}, [SILR_TYPE_Q6_K] = {1, {208}},
    };

    for (int i = 0; i < halves[type].n; i++) {
        uint16_t h = (uint16_t)(0x2000 + silr_rng_below(rng, 0x400)); /* 2^-7 .. 2^-6 */
        memcpy(block + halves[type].at[i], &h, sizeof h);
    }
}

silr_tensor *made_tensor(uint64_t seed, silr_type type, size_t rows, size_t columns)
{
    const silr_type_info *info = silr_type_of(type);
    size_t values = rows * (columns > 0 ? columns : 1), blocks = values / info->block;
    silr_tensor *t = silr_calloc(1, sizeof *t);
    uint8_t *bytes = silr_malloc(blocks * info->bytes);
    silr_rng rng;

    assert_non_null(t);
    assert_non_null(bytes);
    silr_rng_init(&rng, seed, SILR_RNG_TEST, 1, values);
    for (size_t i = 0; i < blocks * info->bytes; i++)
        bytes[i] = (uint8_t)silr_rng_below(&rng, 256);
    for (size_t i = 0; i < blocks; i++) {
        float v = (float)silr_rng_normal(&rng);
        uint16_t h = (uint16_t)(0x2800 + silr_rng_below(&rng, 0x1000) + (silr_rng_u32(&rng) & 0x8000));
        if (type == SILR_TYPE_F32)
            memcpy(bytes + 4 * i, &v, 4);
        else if (type == SILR_TYPE_F16)
            memcpy(bytes + 2 * i, &h, 2);
        else if (type == SILR_TYPE_BF16)
            memcpy(bytes + 2 * i, (char *)&v + 2, 2);
        else
            set_scales(type, bytes + i * info->bytes, &rng);
    }
    *t = (silr_tensor){.name = info->name, .type = type, .n_dims = columns > 0 ? 2 : 1,
                       .dim = {rows, columns}, .data = bytes, .bytes = blocks * info->bytes};
    return t;
}

void free_tensor(silr_tensor *t)
{
    if (t)
        silr_free((void *)(uintptr_t)t->data);
    silr_free(t);
}

double apart(const float *got, const float *want, size_t rows, size_t width, size_t ld)
{
    double d = 0, size = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++) {
            double g = (double)got[r * ld + i], w = (double)want[r * ld + i];
            d += (g - w) * (g - w);
            size += w * w;
        }
    return sqrt(d / (size > 0 ? size : 1));
}

void with_all_kernels(void (*f)(void))
{
    const silr_kernels *k;

    for (size_t i = 0; (k = silr_kernels_at(i)); i++) {
        silr_kernels_use(k);
        f();
    }
    silr_kernels_use(NULL);
}
