/* safetensors_write.c - the other direction of safetensors.c.
 *
 * The header is filled up with spaces to a multiple of 8, and the tensors of 4-byte values come
 * first: so every value lies at a multiple of its size, for readers that map the file. */
#include "formats/safetensors_write.h"
#include "formats/inside.h"

#include <string.h>

enum { AT_ONCE = 1 << 16 /* values that are converted together, or one row */ };

static size_t width_of(const silr_saved_tensor *t)
{
    return silr_type_of(t->type)->bytes;
}

static size_t columns_of(const silr_saved_tensor *t)
{
    return t->dim[t->n_dims - 1];
}

/* false: more bytes than there are numbers for. */
static bool sizes_of(const silr_saved_tensor *t, size_t *rows, size_t *bytes)
{
    *rows = 1;
    for (int d = 0; d + 1 < t->n_dims; d++)
        if (!silr_mul(*rows, t->dim[d], rows))
            return false;
    return silr_mul(*rows, columns_of(t), bytes) && silr_mul(*bytes, width_of(t), bytes);
}

/* --- the header ------------------------------------------------------------------------------- */

static void add_notes(silr_buf *json, const silr_saved_note *note, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        silr_buf_puts(json, i == 0 ? "\"__metadata__\":{" : ",");
        silr_buf_json(json, note[i].key, strlen(note[i].key));
        silr_buf_putc(json, ':');
        silr_buf_json(json, note[i].value, strlen(note[i].value));
    }
    if (n > 0)
        silr_buf_putc(json, '}');
}

static void add_tensor(silr_buf *json, const silr_saved_tensor *t, size_t from, size_t to)
{
    if (json->len > 1)
        silr_buf_putc(json, ',');
    silr_buf_json(json, t->name, strlen(t->name));
    silr_buf_printf(json, ":{\"dtype\":\"%s\",\"shape\":[", silr_type_of(t->type)->name);
    for (int d = 0; d < t->n_dims; d++)
        silr_buf_printf(json, "%s%zu", d > 0 ? "," : "", t->dim[d]);
    silr_buf_printf(json, "],\"data_offsets\":[%zu,%zu]}", from, to);
}

/* In which order the tensors lie in the file. */
static void in_order(const silr_saved_tensor *tensor, size_t n, size_t *order)
{
    size_t at = 0;

    for (int wide = 1; wide >= 0; wide--)
        for (size_t i = 0; i < n; i++)
            if ((width_of(&tensor[i]) == sizeof(float)) == (wide == 1))
                order[at++] = i;
}

static silr_status header_of(silr_buf *json, const silr_saved_tensor *tensor, size_t n,
                             const size_t *order, const silr_saved_note *note, size_t n_notes,
                             silr_error *err)
{
    size_t at = 0, rows, bytes;

    silr_buf_putc(json, '{');
    add_notes(json, note, n_notes);
    for (size_t i = 0; i < n; i++) {
        const silr_saved_tensor *t = &tensor[order[i]];
        const size_t from = at;
        if (!sizes_of(t, &rows, &bytes) || !silr_add(at, bytes, &at))
            return silr_fail(err, SILR_EINPUT, "tensor \"%s\" is too large for a file", t->name);
        add_tensor(json, t, from, at);
    }
    silr_buf_putc(json, '}');
    while (json->len % 8 != 0 && !json->failed)
        silr_buf_putc(json, ' ');
    return json->failed ? silr_fail_memory(err) : SILR_OK;
}

/* --- values ----------------------------------------------------------------------------------- */

static uint32_t bits_of(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* The upper half of a float; what is not a number stays so. */
static uint16_t bf16_of(float f)
{
    const uint32_t bits = bits_of(f);

    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* IEEE half. Below its normal range a float of the same place value is 0.5 + |f|: the addition rounds. */
static uint16_t f16_of(float f)
{
    const uint32_t bits = bits_of(f), low = bits & 0x7fffffff;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);

    if (low > 0x7f800000)
        return sign | 0x7e00;
    if (low >= 0x477ff000) /* 65520 */
        return sign | 0x7c00;
    if (low < 0x38800000) /* 2^-14 */
        return (uint16_t)(sign | (bits_of((f < 0 ? -f : f) + 0.5F) - bits_of(0.5F)));
    return (uint16_t)(sign | ((low + 0xfff + (low >> 13 & 1) - (112U << 23)) >> 13));
}

/* Converted in place: what is written is no longer than what is read. */
static const void *rounded(silr_type type, float *x, size_t n)
{
    uint8_t *out = (uint8_t *)x;

    for (size_t i = 0; i < n && type != SILR_TYPE_F32; i++) {
        const uint16_t h = type == SILR_TYPE_F16 ? f16_of(x[i]) : bf16_of(x[i]);
        memcpy(out + 2 * i, &h, sizeof h);
    }
    return x;
}

typedef struct {
    FILE *file;
    silr_saved_rows rows;
    void *ctx;
    float *room;
    size_t values; /* of room */
} writing;

static silr_status write_tensor(const writing *w, const silr_saved_tensor *t, size_t i, silr_error *err)
{
    const size_t columns = columns_of(t), some = w->values / columns;
    size_t rows, bytes;
    silr_status st = SILR_OK;

    sizes_of(t, &rows, &bytes);
    for (size_t r = 0; st == SILR_OK && r < rows; r += some) {
        const size_t n = rows - r < some ? rows - r : some;
        if (t->values)
            memcpy(w->room, t->values + r * columns, n * columns * sizeof *w->room);
        else if (w->rows) /* check() wants one or the other */
            st = w->rows(w->ctx, i, r, n, w->room, err);
        if (st == SILR_OK && fwrite(rounded(t->type, w->room, n * columns), width_of(t), n * columns,
                                    w->file) != n * columns)
            break; /* silr_out_close says why */
    }
    return st;
}

static silr_status check(const silr_saved_tensor *t, bool rows, silr_error *err)
{
    SILR_ASSERT(t->type <= SILR_TYPE_BF16 && t->n_dims >= 1 && t->n_dims <= SILR_TENSOR_DIMS);
    SILR_ASSERT(silr_entry_name_ok(t->name, strlen(t->name), 255) && (t->values || rows));
    for (int d = 0; d < t->n_dims; d++)
        SILR_ASSERT(t->dim[d] > 0);
    return SILR_OK;
}

silr_status silr_safetensors_write(const char *path, const silr_saved_tensor *tensor, size_t n,
                                   const silr_saved_note *note, size_t n_notes, silr_saved_rows rows,
                                   void *ctx, silr_error *err)
{
    writing w = {.rows = rows, .ctx = ctx, .values = AT_ONCE};
    size_t *order = silr_alloc(n, sizeof *order);
    silr_buf json = {0};
    silr_out out = {0};
    uint64_t len;
    silr_status st = order ? SILR_OK : silr_fail_memory(err);

    for (size_t i = 0; st == SILR_OK && i < n; i++)
        if ((st = check(&tensor[i], rows != NULL, err)) == SILR_OK && columns_of(&tensor[i]) > w.values)
            w.values = columns_of(&tensor[i]);
    if (st != SILR_OK)
        goto done;
    in_order(tensor, n, order);
    if ((st = header_of(&json, tensor, n, order, note, n_notes, err)) != SILR_OK)
        goto done;
    if (!(w.room = silr_alloc(w.values, sizeof *w.room))) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = silr_out_open(&out, path, err)) != SILR_OK)
        goto done;
    w.file = out.file;
    len = json.len;
    fwrite(&len, sizeof len, 1, out.file);
    fwrite(json.data, 1, json.len, out.file);
    for (size_t i = 0; st == SILR_OK && i < n && !ferror(out.file); i++)
        st = write_tensor(&w, &tensor[order[i]], order[i], err);
    if (st == SILR_OK)
        st = silr_out_close(&out, err);
    else
        silr_out_discard(&out);
done:
    silr_free(order);
    silr_free(w.room);
    silr_buf_clear(&json);
    return st;
}
