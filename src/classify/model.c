/* model.c - a trained classifier as a file: written once, read anywhere, never believed.
 *
 * model.silr, numbers little-endian:
 *
 *     offset  size
 *          0     8   "SILRNGRM"
 *          8    12*4 u32: version (1), K, columns, word_min, word_max, char_min, char_max, bits,
 *                    lowercase, weight (0 tfidf, 1 logcount, 2 binary), min_count, 0
 *         56     8   u64: d, the number of features
 *         64     8   u64: bytes of the class names, each ended by NUL, filled up with NUL to 8
 *         72         the class names
 *               4 d  u32: bucket of each feature, ascending: the n-gram's XXH3 >> (64 - bits)
 *               4 d  f32: idf
 *     4 (d+1) columns  f32: weights of the logits [d + 1][columns], idf included, the last the bias
 *          end - 8   u64: XXH3 of all bytes before
 *
 * A text's logits are  bias + sum_j tf(t_j) w_j / sqrt(sum_j (tf(t_j) idf_j)^2).
 *
 * The reader checks every size before it uses it, then the checksum, then the order of the
 * buckets and that all numbers are finite. Beside it lies model.json, for people. */
#include "classify/model.h"

#include <math.h>
#include <string.h>
#include <utf8proc.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is written as it lies");

enum { VERSION = 1, HEADER = 72, FIELDS = 12, TAIL = 8, NAME_BYTES = 1 << 20 };
static const char MAGIC[8] = {'S', 'I', 'L', 'R', 'N', 'G', 'R', 'M'};
static const size_t MOST_BYTES = (size_t)8 << 30;

/* --- writing ---------------------------------------------------------------------------------- */

static size_t name_bytes(const silr_model_data *m)
{
    size_t bytes = 0;

    for (int k = 0; k < m->K; k++)
        bytes += strlen(m->classes[k]) + 1;
    return (bytes + 7) & ~(size_t)7;
}

static void add_names(silr_buf *b, const silr_model_data *m)
{
    const size_t first = b->len, bytes = name_bytes(m);

    for (int k = 0; k < m->K; k++)
        silr_buf_add(b, m->classes[k], strlen(m->classes[k]) + 1);
    while (!b->failed && b->len < first + bytes)
        silr_buf_putc(b, 0);
}

static void add_buckets(silr_buf *b, const silr_vocab *v)
{
    for (size_t w = 0; w < v->words; w++)
        for (uint64_t bits = v->bit[w]; bits; bits &= bits - 1) {
            const uint32_t bucket = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits);
            silr_buf_add(b, &bucket, sizeof bucket);
        }
}

static void serialise(silr_buf *b, const silr_model_data *m)
{
    const silr_ngram_opts *o = &m->opts;
    const uint32_t field[FIELDS] = {
        VERSION, (uint32_t)m->K, (uint32_t)m->columns, (uint32_t)o->word_min, (uint32_t)o->word_max,
        (uint32_t)o->char_min, (uint32_t)o->char_max, (uint32_t)o->bits, o->lowercase,
        (uint32_t)o->weight, o->min_count, 0};
    const uint64_t size[2] = {m->vocab.d, name_bytes(m)};
    uint64_t sum;

    silr_buf_add(b, MAGIC, sizeof MAGIC);
    silr_buf_add(b, field, sizeof field);
    silr_buf_add(b, size, sizeof size);
    add_names(b, m);
    add_buckets(b, &m->vocab);
    silr_buf_add(b, m->idf, m->vocab.d * sizeof *m->idf);
    silr_buf_add(b, m->weight, (m->vocab.d + 1) * (size_t)m->columns * sizeof *m->weight);
    if (b->failed)
        return;
    sum = silr_hash64(b->data, b->len, 0);
    silr_buf_add(b, &sum, sizeof sum);
}

static void describe(silr_buf *b, const silr_model_data *m)
{
    static const char *const weights[] = {"tfidf", "logcount", "binary"};
    const silr_ngram_opts *o = &m->opts;

    silr_buf_puts(b, "{\n  \"schema_version\": 1,\n  \"kind\": \"ngram\",\n  \"classes\": [");
    for (int k = 0; k < m->K; k++) {
        silr_buf_puts(b, k ? ", " : "");
        silr_buf_json(b, m->classes[k], strlen(m->classes[k]));
    }
    silr_buf_printf(b, "],\n  \"word_min\": %d,\n  \"word_max\": %d,\n", o->word_min, o->word_max);
    silr_buf_printf(b, "  \"char_min\": %d,\n  \"char_max\": %d,\n", o->char_min, o->char_max);
    silr_buf_printf(b, "  \"bits\": %d,\n  \"min_count\": %u,\n", o->bits, o->min_count);
    silr_buf_printf(b, "  \"lowercase\": %s,\n", o->lowercase ? "true" : "false");
    silr_buf_printf(b, "  \"weight\": \"%s\",\n", weights[o->weight]);
    silr_buf_printf(b, "  \"features\": %zu,\n  \"weights\": \"model.silr\"\n}\n", m->vocab.d);
}

static silr_status write_file(const char *dir, const char *name, silr_buf *b, silr_error *err)
{
    char *path = silr_path_join(dir, name);
    silr_status st;

    if (b->failed || !path)
        st = silr_fail_memory(err);
    else
        st = silr_file_write(path, b->data, b->len, err);
    silr_free(path);
    silr_buf_clear(b);
    return st;
}

silr_status silr_model_write(const silr_model_data *m, const char *dir, silr_error *err)
{
    silr_buf b = {0};
    silr_status st;

    if ((st = silr_mkdirs(dir, err)) != SILR_OK)
        return st;
    describe(&b, m);
    if ((st = write_file(dir, "model.json", &b, err)) != SILR_OK)
        return st;
    serialise(&b, m);
    return write_file(dir, "model.silr", &b, err);
}

/* --- reading ---------------------------------------------------------------------------------- */

silr_status silr_model_damaged(silr_error *err, const char *name, const char *what)
{
    return silr_fail(err, SILR_EINPUT, "%s is not a whole model file: %s; copy it again or rerun "
                     "`silr run`", name, what);
}

/* Field by field; nothing of it is used before it is within range. */
static const char *read_header(silr_model_data *m, const uint32_t f[FIELDS])
{
    if (f[1] < 2 || f[1] > SILR_RISK_CLASSES || f[2] != (f[1] == 2 ? 1 : f[1]))
        return "impossible number of classes";
    if (f[3] > SILR_NGRAM_LONGEST || f[4] > SILR_NGRAM_LONGEST || f[5] > SILR_NGRAM_LONGEST ||
        f[6] > SILR_NGRAM_LONGEST)
        return "impossible n-grams";
    if ((f[4] && (f[3] < 1 || f[3] > f[4])) || (f[6] && (f[5] < 1 || f[5] > f[6])))
        return "impossible n-grams";
    if (f[7] < 1 || f[7] > SILR_NGRAM_BITS || f[8] > 1 || f[9] > SILR_WEIGHT_BINARY)
        return "impossible options";
    m->K = (int)f[1];
    m->columns = (int)f[2];
    m->opts = (silr_ngram_opts){
        .word_min = (int)f[3], .word_max = (int)f[4], .char_min = (int)f[5], .char_max = (int)f[6],
        .bits = (int)f[7], .lowercase = f[8] == 1, .weight = (silr_term_weight)f[9],
        .min_count = f[10]};
    return NULL;
}

bool silr_model_is_utf8(const char *s, size_t len)
{
    utf8proc_int32_t c;

    for (size_t i = 0; i < len;) {
        const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                                    (utf8proc_ssize_t)(len - i), &c);
        if (n <= 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

static silr_status read_names(silr_model_data *m, const char *p, size_t bytes, const char *name,
                              silr_error *err)
{
    size_t at = 0;

    if (!(m->classes = silr_calloc((size_t)m->K, sizeof *m->classes)))
        return silr_fail_memory(err);
    for (int k = 0; k < m->K; k++) {
        const char *end = at < bytes ? memchr(p + at, 0, bytes - at) : NULL;
        const size_t len = end ? (size_t)(end - p) - at : 0;
        if (len == 0 || !silr_model_is_utf8(p + at, len))
            return silr_model_damaged(err, name, "a class has no name");
        if (!(m->classes[k] = silr_strndup(p + at, len)))
            return silr_fail_memory(err);
        at += len + 1;
    }
    return SILR_OK;
}

static silr_status read_buckets(silr_model_data *m, const char *p, size_t d, const char *name,
                                silr_error *err)
{
    silr_status st;
    uint32_t last = 0;

    if ((st = silr_vocab_init(&m->vocab, m->opts.bits, err)) != SILR_OK)
        return st;
    for (size_t j = 0; j < d; j++) {
        uint32_t bucket;
        memcpy(&bucket, p + j * sizeof bucket, sizeof bucket);
        if (bucket >> m->opts.bits || (j && bucket <= last))
            return silr_model_damaged(err, name, "its features are out of order");
        silr_vocab_add(&m->vocab, bucket);
        last = bucket;
    }
    silr_vocab_number(&m->vocab);
    return SILR_OK;
}

static silr_status read_floats(float **out, const char *p, size_t n, const char *name,
                               silr_error *err)
{
    if (!(*out = silr_alloc(n, sizeof **out)))
        return silr_fail_memory(err);
    if (n)
        memcpy(*out, p, n * sizeof **out);
    for (size_t i = 0; i < n; i++)
        if (!isfinite((*out)[i]))
            return silr_model_damaged(err, name, "a weight is not a finite number");
    return SILR_OK;
}

static silr_status read_body(silr_model_data *m, const char *p, const uint64_t size[2],
                             const char *name, silr_error *err)
{
    const size_t d = (size_t)size[0], names = (size_t)size[1];
    silr_status st;

    if ((st = read_names(m, p, names, name, err)) != SILR_OK)
        return st;
    p += names;
    if ((st = read_buckets(m, p, d, name, err)) != SILR_OK)
        return st;
    p += 4 * d;
    if ((st = read_floats(&m->idf, p, d, name, err)) != SILR_OK)
        return st;
    p += 4 * d;
    return read_floats(&m->weight, p, (d + 1) * (size_t)m->columns, name, err);
}

static silr_status parse_ngram(silr_model **out, const void *bytes, size_t len, const char *name,
                               silr_error *err)
{
    const char *p = bytes, *why;
    uint32_t field[FIELDS];
    uint64_t size[2], sum;
    silr_model *m = NULL;
    silr_status st;

    *out = NULL;
    if (len < HEADER + TAIL || memcmp(p, MAGIC, sizeof MAGIC) != 0)
        return silr_model_damaged(err, name, "it does not begin as one");
    memcpy(field, p + 8, sizeof field);
    memcpy(size, p + 56, sizeof size);
    memcpy(&sum, p + len - TAIL, sizeof sum);
    if (field[0] != VERSION)
        return silr_fail(err, SILR_EINPUT, "%s has format version %u, this silr reads %d: use the "
                         "silr that wrote it or a newer one", name, field[0], VERSION);
    if (!(m = silr_calloc(1, sizeof *m)))
        return silr_fail_memory(err);
    if ((why = read_header(&m->data, field)) != NULL) {
        st = silr_model_damaged(err, name, why);
        goto done;
    }
    /* d <= 2^24, columns <= 64, names <= 1 MiB: none of this overflows */
    if (size[0] > (uint64_t)1 << m->data.opts.bits || size[1] > NAME_BYTES ||
        len != HEADER + size[1] + 8 * size[0] + 4 * (size[0] + 1) * field[2] + TAIL ||
        sum != silr_hash64(p, len - TAIL, 0)) {
        st = silr_model_damaged(err, name, "its length or checksum is wrong");
        goto done;
    }
    if ((st = read_body(&m->data, p + HEADER, size, name, err)) != SILR_OK)
        goto done;
    silr_tf_table(m->tf, m->data.opts.weight);
    m->K = m->data.K;
    m->columns = m->data.columns;
    m->classes = m->data.classes;
    *out = m;
    m = NULL;
done:
    silr_model_free(m);
    return st;
}

/* A frozen or a fine-tuned one, without the model that it works with. */
static silr_status parse_with_model(silr_model **out, bool tuned, const void *bytes, size_t len,
                                    const char *name, silr_error *err)
{
    silr_model *m = silr_calloc(1, sizeof *m);
    silr_status st;

    *out = NULL;
    if (!m)
        return silr_fail_memory(err);
    m->tuned = tuned;
    m->frozen = !tuned;
    st = tuned ? silr_qlora_parse(&m->about, bytes, len, name, err)
               : silr_frozen_parse(&m->dense, bytes, len, name, err);
    if (st != SILR_OK)
        goto done;
    m->K = tuned ? m->about.K : m->dense.K;
    m->columns = tuned ? m->about.columns : m->dense.columns;
    m->classes = tuned ? m->about.classes : m->dense.classes;
    if (!(m->one = silr_alloc(1, sizeof(pthread_mutex_t)))) {
        st = silr_fail_memory(err);
        goto done;
    }
    pthread_mutex_init(m->one, NULL);
    *out = m;
    m = NULL;
done:
    silr_model_free(m);
    return st;
}

silr_status silr_model_parse(silr_model **out, const void *bytes, size_t len, const char *name,
                             silr_error *err)
{
    const char *first = bytes;

    if (len >= 8 && memcmp(bytes, "SILRFRZN", 8) == 0)
        return parse_with_model(out, false, bytes, len, name, err);
    if (len > 0 && *first == '{')
        return parse_with_model(out, true, bytes, len, name, err);
    return parse_ngram(out, bytes, len, name, err);
}

/* --- the files of a folder ---------------------------------------------------------------------- */

static silr_status read_model(silr_model **out, const char *path, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = silr_file_read(&b, path, MOST_BYTES, err);

    if (st == SILR_OK)
        st = silr_model_parse(out, b.data ? b.data : "", b.len, path, err);
    silr_buf_clear(&b);
    return st;
}

/* The n-grams that a frozen classifier learned from too. */
static silr_status read_beside(silr_model *m, const char *folder, silr_error *err)
{
    char *path = silr_path_join(folder, "model.silr");
    silr_status st = path ? read_model(&m->beside, path, err) : silr_fail_memory(err);

    if (st == SILR_OK && (m->beside->frozen || m->beside->tuned || m->beside->K != m->K))
        st = silr_model_damaged(err, path, "it is of another classifier");
    silr_free(path);
    return st;
}

/* Where the encoder may be: where the caller says; else where it was, below the classifier's folder,
 * below the current one. *out: the first that is there, yours. */
static silr_status find_encoder(char **out, const silr_encoder_name *n, const char *folder,
                                const char *given, silr_error *err)
{
    char *below = silr_path_join(folder, n->name);
    const char *const places[] = {n->place, below, n->name};
    silr_status st = SILR_OK;

    *out = NULL;
    if (given)
        *out = silr_strdup(given);
    for (size_t i = 0; !given && below && !*out && i < 3; i++)
        if (silr_file_exists(places[i]) && !(*out = silr_strdup(places[i])))
            break;
    if (!*out)
        st = given || !below || silr_file_exists(n->place) || silr_file_exists(below) || silr_file_exists(n->name)
                 ? silr_fail_memory(err)
                 : silr_fail(err, SILR_EINPUT,
                             "the encoder %s is not there: looked for it as %s, as %s and as %s; say "
                             "where it is with --model", n->name, places[0], places[1], places[2]);
    silr_free(below);
    return st;
}

/* The same bytes as in training, or no answer at all. */
static silr_status check_same(const silr_encoder_name *n, const char *path, silr_error *err)
{
    silr_sha256 now;
    silr_status st = silr_encoder_hash(&now, path, err);

    if (st != SILR_OK || memcmp(now.hex, n->model.hex, 64) == 0)
        return st;
    return silr_fail(err, SILR_EINPUT,
                     "%s is not the encoder that this classifier was trained with (SHA-256 %.12s "
                     "there, %.12s here): give that one with --model, or train anew", path,
                     n->model.hex, now.hex);
}

static silr_status open_encoder(silr_model *m, const char *path, silr_error *err)
{
    const silr_encoder_name *n = &m->dense.encoder;
    silr_status st;

    if ((st = silr_encoder_open(&m->encoder, path, &n->opts, err)) != SILR_OK)
        return st;
    if (m->encoder->dim != m->dense.layers.d)
        return silr_fail(err, SILR_EINPUT, "%s gives vectors of %zu values, the classifier takes %zu",
                         path, m->encoder->dim, m->dense.layers.d);
    return SILR_OK;
}

/* The folder that holds the classifier: dir/classifier, or dir itself; and its file. */
static silr_status find_files(char **folder, char **file, const char *dir, silr_error *err)
{
    static const char *const names[] = {"qlora.json", "frozen.silr", "model.silr"};
    const int n = sizeof names / sizeof *names;

    *folder = *file = NULL;
    for (int i = 0; i < 2 * n; i++) {
        silr_free(*folder);
        silr_free(*file);
        *file = NULL;
        *folder = i < n ? silr_path_join(dir, "classifier") : silr_strdup(dir);
        if (!*folder || !(*file = silr_path_join(*folder, names[i % n])))
            return silr_fail_memory(err);
        if (silr_file_exists(*file))
            return SILR_OK;
    }
    return silr_fail(err, SILR_EINPUT, "%s holds no classifier (no classifier/model.silr, no "
                     "model.silr): give the folder of a finished `silr run`", dir);
}

silr_status silr_model_open(silr_model **out, const char *dir, const silr_model_opts *opts,
                            silr_error *err)
{
    char *folder = NULL, *file = NULL, *encoder = NULL;
    silr_model *m = NULL;
    silr_status st;

    *out = NULL;
    if ((st = find_files(&folder, &file, dir, err)) != SILR_OK ||
        (st = read_model(&m, file, err)) != SILR_OK)
        goto done;
    if (m->dense.ngrams && (st = read_beside(m, folder, err)) != SILR_OK)
        goto done;
    if (m->tuned && !opts->no_encoder &&
        ((st = find_encoder(&encoder, &m->about.base, folder, opts->encoder, err)) != SILR_OK ||
         (st = check_same(&m->about.base, encoder, err)) != SILR_OK ||
         (st = silr_qlora_open(&m->scorer, &m->about, folder, encoder, err)) != SILR_OK))
        goto done;
    if (m->frozen && !opts->no_encoder &&
        ((st = find_encoder(&encoder, &m->dense.encoder, folder, opts->encoder, err)) != SILR_OK ||
         (st = check_same(&m->dense.encoder, encoder, err)) != SILR_OK ||
         (st = open_encoder(m, encoder, err)) != SILR_OK))
        goto done;
    m->place = encoder;
    encoder = NULL;
    *out = m;
    m = NULL;
done:
    silr_model_free(m);
    silr_free(encoder);
    silr_free(folder);
    silr_free(file);
    return st;
}

silr_status silr_model_load(silr_model **out, const char *dir, silr_error *err)
{
    return silr_model_open(out, dir, &(silr_model_opts){0}, err);
}

void silr_model_free(silr_model *m)
{
    if (!m)
        return;
    for (int k = 0; m->data.classes && k < m->data.K; k++)
        silr_free(m->data.classes[k]);
    silr_free(m->data.classes);
    silr_vocab_clear(&m->data.vocab);
    silr_free(m->data.idf);
    silr_free(m->data.weight);
    silr_frozen_clear(&m->dense);
    silr_model_free(m->beside);
    silr_encoder_free(m->encoder);
    silr_qlora_clear(&m->about);
    silr_scorer_clear(&m->scorer);
    silr_free(m->place);
    if (m->one)
        pthread_mutex_destroy(m->one);
    silr_free(m->one);
    silr_free(m);
}

int silr_model_classes(const silr_model *m)
{
    return m->K;
}

int silr_model_columns(const silr_model *m)
{
    return m->columns;
}

const char *silr_model_class(const silr_model *m, int k)
{
    return k >= 0 && k < m->K ? m->classes[k] : NULL;
}

size_t silr_model_batch(const silr_model *m)
{
    return m->frozen || m->tuned ? 256 : 32768;
}
