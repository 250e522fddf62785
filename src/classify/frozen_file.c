/* frozen_file.c - classifier `frozen` as a file: written once, read anywhere, never believed.
 *
 * frozen.silr, numbers little-endian:
 *
 *     offset  size
 *          0     8   "SILRFRZN"
 *          8    12*4 u32: version (1), K, columns, dim, hidden, n-grams beside (0, 1), pooling (0 auto,
 *                    1 mean, 2 cls, 3 last), max_tokens, then 0
 *         56     8   u64: bytes of the names, filled up with NUL to a multiple of 8
 *         64    64   SHA-256 of the encoder, in hex
 *        128         the names, each ended by NUL: the classes, the encoder as the task named it,
 *                    where that was
 *   4 (dim+1) hidden        f32: first layer; not there when hidden is 0
 *   4 (hidden+1) columns    f32: last layer; over the vector itself, dim + 1 rows, when hidden is 0
 *          end - 8   u64: XXH3 of all bytes before
 *
 *     logits = last . (max(0, first . (v, 1)), 1)        v: the encoder's vector, in half precision
 *
 * With n-grams beside, the logits of model.silr (model.c) are added. The reader checks every size
 * before it uses it, then the checksum, then that all numbers are finite. Beside it lies
 * model.json, for people. */
#include "classify/frozen.h"
#include "classify/model.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is written as it lies");

enum { VERSION = 1, HEADER = 128, FIELDS = 12, TAIL = 8, NAME_BYTES = 1 << 20,
       MOST_DIM = 1 << 20, MOST_HIDDEN = 1 << 20 };
static const char MAGIC[8] = {'S', 'I', 'L', 'R', 'F', 'R', 'Z', 'N'};

static size_t first_floats(const silr_layers *l)
{
    return l->hidden ? (l->d + 1) * l->hidden : 0;
}

static size_t last_floats(const silr_layers *l)
{
    return ((l->hidden ? l->hidden : l->d) + 1) * l->columns;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void add_names(silr_buf *b, const silr_frozen_data *f)
{
    for (int k = 0; k < f->K; k++)
        silr_buf_add(b, f->classes[k], strlen(f->classes[k]) + 1);
    silr_buf_add(b, f->encoder.name, strlen(f->encoder.name) + 1);
    silr_buf_add(b, f->encoder.place, strlen(f->encoder.place) + 1);
    while (!b->failed && b->len % 8)
        silr_buf_putc(b, 0);
}

static void serialise(silr_buf *b, const silr_frozen_data *f, const silr_buf *names)
{
    const uint32_t field[FIELDS] = {VERSION, (uint32_t)f->K, (uint32_t)f->columns,
                                    (uint32_t)f->layers.d, (uint32_t)f->layers.hidden, f->ngrams,
                                    (uint32_t)f->encoder.opts.pooling,
                                    (uint32_t)f->encoder.opts.max_tokens};
    const uint64_t bytes = names->len;
    uint64_t sum;

    silr_buf_add(b, MAGIC, sizeof MAGIC);
    silr_buf_add(b, field, sizeof field);
    silr_buf_add(b, &bytes, sizeof bytes);
    silr_buf_add(b, f->encoder.model.hex, 64);
    silr_buf_add(b, names->data, names->len);
    if (f->layers.hidden)
        silr_buf_add(b, f->layers.first, first_floats(&f->layers) * sizeof(float));
    silr_buf_add(b, f->layers.last, last_floats(&f->layers) * sizeof(float));
    if (b->failed)
        return;
    sum = silr_hash64(b->data, b->len, 0);
    silr_buf_add(b, &sum, sizeof sum);
}

static void describe(silr_buf *b, const silr_frozen_data *f)
{
    static const char *const poolings[] = {"auto", "mean", "cls", "last"};

    silr_buf_puts(b, "{\n  \"schema_version\": 1,\n  \"kind\": \"frozen\",\n  \"classes\": [");
    for (int k = 0; k < f->K; k++) {
        silr_buf_puts(b, k ? ", " : "");
        silr_buf_json(b, f->classes[k], strlen(f->classes[k]));
    }
    silr_buf_puts(b, "],\n  \"encoder\": ");
    silr_buf_json(b, f->encoder.name, strlen(f->encoder.name));
    silr_buf_puts(b, ",\n  \"encoder_path\": ");
    silr_buf_json(b, f->encoder.place, strlen(f->encoder.place));
    silr_buf_printf(b, ",\n  \"encoder_sha256\": \"%s\",\n  \"dim\": %zu,\n", f->encoder.model.hex,
                    f->layers.d);
    silr_buf_printf(b, "  \"pooling\": \"%s\",\n  \"max_tokens\": %zu,\n  \"hidden\": %zu,\n",
                    poolings[f->encoder.opts.pooling], f->encoder.opts.max_tokens,
                    f->layers.hidden);
    silr_buf_printf(b, "  \"weights\": \"frozen.silr\",\n  \"ngrams\": %s\n}\n",
                    f->ngrams ? "\"model.silr\"" : "null");
}

static silr_status write_file(const char *dir, const char *name, const silr_buf *b, silr_error *err)
{
    char *path = silr_path_join(dir, name);
    silr_status st = b->failed || !path ? silr_fail_memory(err)
                                        : silr_file_write(path, b->data, b->len, err);
    silr_free(path);
    return st;
}

silr_status silr_frozen_write(const silr_frozen_data *f, const char *dir, silr_error *err)
{
    silr_buf names = {0}, b = {0}, about = {0};
    silr_status st;

    SILR_ASSERT(f->layers.d <= MOST_DIM && f->layers.hidden <= MOST_HIDDEN);
    add_names(&names, f);
    describe(&about, f);
    if (names.failed)
        st = silr_fail_memory(err);
    else if ((st = silr_mkdirs(dir, err)) == SILR_OK) {
        serialise(&b, f, &names);
        if ((st = write_file(dir, "model.json", &about, err)) == SILR_OK)
            st = write_file(dir, "frozen.silr", &b, err);
    }
    silr_buf_clear(&names);
    silr_buf_clear(&about);
    silr_buf_clear(&b);
    return st;
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char *read_header(silr_frozen_data *f, const uint32_t v[FIELDS])
{
    if (v[1] < 2 || v[1] > SILR_RISK_CLASSES || v[2] != (v[1] == 2 ? 1 : v[1]))
        return "impossible number of classes";
    if (v[3] < 1 || v[3] > MOST_DIM || v[4] > MOST_HIDDEN)
        return "impossible layers";
    if (v[5] > 1 || v[6] > SILR_POOLING_LAST || v[7] > 1000000)
        return "impossible options";
    f->K = (int)v[1];
    f->columns = (int)v[2];
    f->layers = (silr_layers){.d = v[3], .hidden = v[4], .columns = v[2]};
    f->ngrams = v[5] == 1;
    f->encoder.opts.pooling = (silr_pooling_choice)v[6];
    f->encoder.opts.max_tokens = v[7];
    return NULL;
}

static silr_status read_names(silr_frozen_data *f, const char *p, size_t bytes, const char *name,
                              silr_error *err)
{
    char **of[2] = {&f->encoder.name, &f->encoder.place};
    size_t at = 0;

    if (!(f->classes = silr_calloc((size_t)f->K, sizeof *f->classes)))
        return silr_fail_memory(err);
    for (int k = 0; k < f->K + 2; k++) {
        char **to = k < f->K ? &f->classes[k] : of[k - f->K];
        const char *end = at < bytes ? memchr(p + at, 0, bytes - at) : NULL;
        const size_t len = end ? (size_t)(end - p) - at : 0;
        if (len == 0 || (k < f->K && !silr_model_is_utf8(p + at, len)))
            return silr_model_damaged(err, name, "a class or the encoder has no name");
        if (!(*to = silr_strndup(p + at, len)))
            return silr_fail_memory(err);
        at += len + 1;
    }
    return SILR_OK;
}

static silr_status read_floats(float **out, const char *p, size_t n, const char *name,
                               silr_error *err)
{
    if (!(*out = silr_alloc(n + 1, sizeof **out)))
        return silr_fail_memory(err);
    memcpy(*out, p, n * sizeof **out);
    for (size_t i = 0; i < n; i++)
        if (!isfinite((*out)[i]))
            return silr_model_damaged(err, name, "a weight is not a finite number");
    return SILR_OK;
}

static silr_status read_body(silr_frozen_data *f, const char *bytes, size_t names, const char *name,
                             silr_error *err)
{
    const size_t first = first_floats(&f->layers), last = last_floats(&f->layers);
    const char *p = bytes + HEADER;
    silr_status st;

    memcpy(f->encoder.model.hex, bytes + 64, 64);
    for (int i = 0; i < 64; i++)
        if (!strchr("0123456789abcdef", f->encoder.model.hex[i]) || !f->encoder.model.hex[i])
            return silr_model_damaged(err, name, "the encoder's hash is none");
    if ((st = read_names(f, p, names, name, err)) != SILR_OK)
        return st;
    p += names;
    if (first && (st = read_floats(&f->layers.first, p, first, name, err)) != SILR_OK)
        return st;
    return read_floats(&f->layers.last, p + 4 * first, last, name, err);
}

silr_status silr_frozen_parse(silr_frozen_data *out, const void *bytes, size_t len,
                              const char *name, silr_error *err)
{
    const char *p = bytes, *why;
    uint32_t field[FIELDS];
    uint64_t names, sum;
    silr_status st;

    *out = (silr_frozen_data){0};
    if (len < HEADER + TAIL || memcmp(p, MAGIC, sizeof MAGIC) != 0)
        return silr_model_damaged(err, name, "it does not begin as one");
    memcpy(field, p + 8, sizeof field);
    memcpy(&names, p + 56, sizeof names);
    memcpy(&sum, p + len - TAIL, sizeof sum);
    if (field[0] != VERSION)
        return silr_fail(err, SILR_EINPUT, "%s has format version %u, this silr reads %d: use the "
                         "silr that wrote it or a newer one", name, field[0], VERSION);
    if ((why = read_header(out, field)) != NULL)
        return silr_model_damaged(err, name, why);
    /* dim, hidden <= 2^20, columns <= 64, names <= 1 MiB: none of this overflows */
    if (names > NAME_BYTES || names % 8 ||
        len != HEADER + names + 4 * (first_floats(&out->layers) + last_floats(&out->layers)) + TAIL ||
        sum != silr_hash64(p, len - TAIL, 0))
        return silr_model_damaged(err, name, "its length or checksum is wrong");
    if ((st = read_body(out, p, (size_t)names, name, err)) != SILR_OK)
        silr_frozen_clear(out);
    return st;
}

void silr_frozen_clear(silr_frozen_data *f)
{
    for (int k = 0; f->classes && k < f->K; k++)
        silr_free(f->classes[k]);
    silr_free(f->classes);
    silr_encoder_name_clear(&f->encoder);
    silr_layers_clear(&f->layers);
    *f = (silr_frozen_data){0};
}

/* --- using ------------------------------------------------------------------------------------ */

void silr_layers_add(const silr_layers *l, const float *v, double *hidden, double *logits)
{
    const size_t rows = l->hidden ? l->hidden : l->d;

    for (size_t u = 0; u < l->hidden; u++)
        hidden[u] = (double)l->first[l->d * l->hidden + u];
    for (size_t j = 0; l->hidden && j < l->d; j++)
        for (size_t u = 0; u < l->hidden; u++)
            hidden[u] += (double)l->first[j * l->hidden + u] * (double)v[j];
    for (size_t k = 0; k < l->columns; k++)
        logits[k] += (double)l->last[rows * l->columns + k];
    for (size_t r = 0; r < rows; r++) {
        const double a = l->hidden ? (hidden[r] > 0 ? hidden[r] : 0) : (double)v[r];
        for (size_t k = 0; k < l->columns; k++)
            logits[k] += (double)l->last[r * l->columns + k] * a;
    }
}
