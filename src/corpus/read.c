/* read.c - from files to a corpus.
 *
 *     cut      one thread reads and cuts a batch of records (source.c)
 *     parse    all threads take the records of the batch apart (parse.c)
 *     put      one thread, in the order of the input: ids, labels, columns, complaints
 *
 * So nothing depends on the number of threads, neither the corpus nor which error comes first. */
#include "corpus/parse.h"
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum {
    BATCH = 4 << 20,  /* bytes read before the threads set to work */
    NAMED_ROWS = 100, /* rows whose columns are remembered, to name them in an error */
    PATIENCE = 1000   /* rows without the text column before we say that there is none */
};

typedef struct {
    const char *file;
    uint64_t line;
    int slot;
} lacking;

typedef struct {
    const silr_task *task;
    silr_bad_row bad;
    void *ctx;
    silr_corpus *c;
    silr_wanted wanted;
    EVP_MD_CTX *digest;
    char **files;
    size_t n_files;
    silr_worker *worker;
    int threads;
    silr_record *record; /* of the batch */
    silr_parsed *parsed;
    size_t n, record_cap, parsed_cap;
    silr_fold *fold; /* of every document */
    size_t fold_cap;
    uint64_t seen;  /* columns that some row had */
    lacking *lacks; /* rows without a text column that no row had so far */
    size_t n_lacks, lacks_cap;
    silr_interned names; /* columns that there are */
    size_t named;
    char first_bad[512]; /* "reviews.jsonl:812: ..." */
    bool full;           /* task->limit is reached */
} reader;

/* --- complaints --------------------------------------------------------------------------------
 */

static silr_status no_column(reader *rd, size_t slot, silr_error *err)
{
    silr_status st = SILR_OK;
    silr_buf list = {0};
    const char *file = rd->n_files == 1 ? silr_file_label(rd->files[0]) : "any file";

    for (size_t k = 1; k < rd->names.n && list.len < 400; k++)
        silr_buf_printf(&list, "%s%s", k > 1 ? ", " : "", rd->names.v[k]);
    if (list.failed)
        st = silr_fail_memory(err);
    else
        st = silr_fail(err, SILR_EINPUT, "%s: no column \"%s\" in %s; there are: %s",
                       rd->wanted.knob[slot], rd->wanted.name[slot], file,
                       list.data ? list.data : "none");
    silr_buf_clear(&list);
    return st;
}

static silr_status bad_row(reader *rd, const char *file, uint64_t line, const char *why,
                           silr_error *err)
{
    if (rd->c->stats.bad_rows++ == 0)
        snprintf(rd->first_bad, sizeof rd->first_bad, "%s:%llu: %s", file, (unsigned long long)line,
                 why);
    if (!rd->bad)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: %s", file, (unsigned long long)line, why);
    return rd->bad(rd->ctx, file, line, why, err);
}

static silr_status lacks_column(reader *rd, const lacking *l, silr_error *err)
{
    char why[300];
    snprintf(why, sizeof why, "\"%.250s\" is missing", rd->wanted.name[l->slot]);
    return bad_row(rd, l->file, l->line, why, err);
}

/* A row without a text column: bad if others have that column, else the task is wrong. */
static silr_status hold_back(reader *rd, const lacking *l, silr_error *err)
{
    if (rd->seen >> l->slot & 1)
        return lacks_column(rd, l, err);
    if (rd->n_lacks + 1 >= PATIENCE)
        return no_column(rd, (size_t)l->slot, err);
    if (!silr_grow(&rd->lacks, &rd->lacks_cap, rd->n_lacks + 1, sizeof *rd->lacks))
        return silr_fail_memory(err);
    rd->lacks[rd->n_lacks++] = *l;
    return SILR_OK;
}

static silr_status let_go(reader *rd, silr_error *err)
{
    silr_status st = SILR_OK;
    size_t kept = 0;

    for (size_t i = 0; i < rd->n_lacks; i++) {
        if (st == SILR_OK && rd->seen >> rd->lacks[i].slot & 1)
            st = lacks_column(rd, &rd->lacks[i], err);
        else
            rd->lacks[kept++] = rd->lacks[i];
    }
    rd->n_lacks = kept;
    return st;
}

static silr_status unknown_label(reader *rd, const char *file, uint64_t line, const char *value,
                                 silr_error *err)
{
    silr_status st;
    silr_buf list = {0};

    for (size_t k = 0; k < rd->task->n_classes && list.len < 300; k++)
        silr_buf_printf(&list, "%s%s", k ? ", " : "", rd->task->classes[k]);
    st = silr_fail(err, SILR_EINPUT,
                   "%s:%llu: \"%s\" is \"%.100s\", which is no class (%s); map it in "
                   "corpus.label_values",
                   file, (unsigned long long)line, rd->task->corpus.label, value,
                   list.data ? list.data : "none");
    silr_buf_clear(&list);
    return st;
}

/* --- putting the corpus together ---------------------------------------------------------------
 */

static silr_status put_id(reader *rd, const char *id)
{
    silr_corpus *c = rd->c;
    char made[40];

    if (rd->wanted.slot[SILR_ROLE_ID] < 0) {
        snprintf(made, sizeof made, "%zu", c->n);
        id = made;
    } else if (!id) {
        snprintf(made, sizeof made, "row-%zu", c->stats.rows);
        id = made;
        c->stats.missing_ids++;
    }
    return silr_ids_add(c, id);
}

static silr_status put_columns(reader *rd, const silr_parsed *p)
{
    silr_corpus *c = rd->c;
    size_t k = 0;

    for (int role = SILR_ROLE_GROUP; role < SILR_ROLES; role++) {
        silr_kept *kept = &c->kept[k];
        if (rd->wanted.slot[role] < 0)
            continue;
        if (!silr_grow(&kept->number, &kept->cap, c->n, sizeof *kept->number) ||
            silr_intern(&kept->values, p->value[role], &kept->number[c->n - 1]) != SILR_OK)
            return SILR_ENOMEM;
        k++;
    }
    return SILR_OK;
}

static silr_status put_document(reader *rd, const char *file, const silr_parsed *p, silr_error *err)
{
    silr_corpus *c = rd->c;
    const char *label = p->value[SILR_ROLE_LABEL];
    int truth = SILR_NO_LABEL;

    if (label && !silr_task_value(rd->task, &rd->task->corpus.label_values, label, &truth))
        return unknown_label(rd, file, p->line, label, err);
    if (c->n == UINT32_MAX - 1)
        return silr_fail(err, SILR_EINPUT, "%s: more than %u documents", file, UINT32_MAX - 1);
    if (!silr_grow(&c->doc, &c->cap, c->n + 1, sizeof *c->doc) ||
        !silr_grow(&rd->fold, &rd->fold_cap, c->n + 1, sizeof *rd->fold))
        return silr_fail_memory(err);
    rd->fold[c->n] = p->fold;
    c->doc[c->n++] =
        (silr_document){.text = p->text, .len = p->len, .truth = truth, .empty = p->empty};
    if (put_id(rd, p->value[SILR_ROLE_ID]) != SILR_OK || put_columns(rd, p) != SILR_OK)
        return silr_fail_memory(err);
    c->stats.documents = c->n;
    c->stats.empty += p->empty;
    c->stats.bad_utf8 += p->bad_utf8;
    c->stats.nul += p->nul;
    c->stats.cut += p->cut;
    c->stats.truths += truth != SILR_NO_LABEL;
    rd->full = rd->task->limit > 0 && c->n >= (uint64_t)rd->task->limit;
    return SILR_OK;
}

static silr_status put(reader *rd, const char *file, const silr_parsed *p, silr_error *err)
{
    silr_status st = SILR_OK;

    rd->c->stats.rows++;
    if (p->seen & ~rd->seen) {
        rd->seen |= p->seen;
        if ((st = let_go(rd, err)) != SILR_OK)
            return st;
    }
    if (p->status == SILR_OK)
        return put_document(rd, file, p, err);
    if (p->status != SILR_EINPUT)
        return silr_fail_memory(err);
    if (p->final)
        return silr_fail(err, SILR_EINPUT, "%s:%llu: %s", file, (unsigned long long)p->line,
                         p->why);
    if (p->missing >= 0)
        return hold_back(rd, &(lacking){file, p->line, p->missing}, err);
    return bad_row(rd, file, p->line, p->why, err);
}

/* --- batches -----------------------------------------------------------------------------------
 */

/* The columns of the first rows, from copies: parsing writes into a record. */
static silr_status remember_names(reader *rd, const silr_source *s)
{
    silr_status st = SILR_OK;
    silr_fields all = {0};
    uint32_t unused;

    for (size_t k = 0; st == SILR_OK && rd->named < NAMED_ROWS && k < s->n_header; k++)
        st = silr_intern(&rd->names, s->header[k], &unused);
    for (size_t i = 0; st == SILR_OK && i < rd->n && rd->named < NAMED_ROWS; i++, rd->named++) {
        silr_record copy = rd->record[i];
        if (copy.bad || s->n_header > 0)
            continue;
        if (!(copy.s = silr_strndup(copy.s, copy.len)))
            st = SILR_ENOMEM;
        else if ((st = silr_source_parse(s, &copy, &all)) == SILR_EINPUT)
            all.n = 0, st = SILR_OK;
        for (size_t k = 0; st == SILR_OK && k < all.n; k++)
            st = silr_intern(&rd->names, all.field[k].name, &unused);
        silr_free(copy.s);
    }
    silr_fields_clear(&all);
    return st;
}

static silr_status cut_batch(reader *rd, silr_source *s, bool *end, silr_error *err)
{
    silr_status st = silr_source_fill(s, BATCH, err);
    bool may_fill = false;

    rd->n = 0;
    while (st == SILR_OK) {
        int how;
        if (!silr_grow(&rd->record, &rd->record_cap, rd->n + 1, sizeof *rd->record))
            return silr_fail_memory(err);
        how = silr_source_next(s, &rd->record[rd->n], may_fill, err);
        if (how < 0)
            return (silr_status)how;
        *end = how == SILR_END;
        if (how == SILR_RECORD)
            rd->n++;
        if (how == SILR_END || may_fill || (how == SILR_MORE && rd->n > 0))
            break;
        may_fill = how == SILR_MORE; /* one record that fills the buffer */
    }
    return st;
}

static void parse_batch(reader *rd, const silr_source *s)
{
    for (int t = 0; t < rd->threads; t++)
        silr_arena_clear(&rd->worker[t].batch);
#pragma omp parallel for num_threads(rd->threads) schedule(static)
    for (size_t i = 0; i < rd->n; i++)
        silr_parse_row(&rd->wanted, s, &rd->record[i], &rd->worker[omp_get_thread_num()],
                       &rd->parsed[i]);
}

static silr_status read_file(reader *rd, const char *path, silr_error *err)
{
    const char *name = silr_file_label(path);
    silr_source *s = NULL;
    bool end = false;
    silr_status st = silr_source_open(&s, path, rd->task->corpus.format, rd->digest, err);

    while (st == SILR_OK && !end && !rd->full) {
        if ((st = cut_batch(rd, s, &end, err)) != SILR_OK)
            break;
        if (!silr_grow(&rd->parsed, &rd->parsed_cap, rd->n, sizeof *rd->parsed) ||
            (rd->named < NAMED_ROWS && remember_names(rd, s) != SILR_OK)) {
            st = silr_fail_memory(err);
            break;
        }
        parse_batch(rd, s);
        for (size_t i = 0; st == SILR_OK && i < rd->n && !rd->full; i++)
            st = put(rd, name, &rd->parsed[i], err);
        silr_progress("reading", rd->c->n, 0);
        if (st == SILR_OK && silr_cancelled())
            st = silr_fail(err, SILR_ECANCEL, "interrupted while reading %s", name);
    }
    if (st == SILR_OK && strcmp(path, "-") != 0)
        st = silr_bytes_drain(s->in, err); /* the digest is of whole files, limit or not */
    silr_source_close(s);
    return st;
}

/* A file behind the limit still counts for the digest. */
static silr_status digest_file(reader *rd, const char *path, silr_error *err)
{
    silr_bytes *b = NULL;
    silr_status st = SILR_OK;

    if (strcmp(path, "-") == 0)
        return SILR_OK;
    if ((st = silr_bytes_open(&b, path, rd->digest, err)) == SILR_OK)
        st = silr_bytes_drain(b, err);
    silr_bytes_close(b);
    return st;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static silr_status check(reader *rd, silr_error *err)
{
    const silr_corpus_stats *s = &rd->c->stats;

    if (s->rows == 0 && rd->n_files == 1)
        return silr_fail(err, SILR_EINPUT, "%s: no documents", silr_file_label(rd->files[0]));
    if (s->rows == 0)
        return silr_fail(err, SILR_EINPUT, "corpus.files: no documents in any of %zu files",
                         rd->n_files);
    if (rd->c->n == 0 && s->bad_rows == s->rows)
        return silr_fail(err, SILR_EINPUT,
                         "no documents: none of %zu rows can be read; the first: %s", s->rows,
                         rd->first_bad);
    for (size_t k = 0; k < rd->wanted.n; k++)
        if (!(rd->seen >> k & 1))
            return no_column(rd, k, err);
    if ((double)s->bad_rows > rd->task->corpus.max_bad * (double)s->rows)
        return silr_fail(
            err, SILR_EINPUT,
            "%zu of %zu rows are bad, more than corpus.max_bad (%g) allows; the first: %s",
            s->bad_rows, s->rows, rd->task->corpus.max_bad, rd->first_bad);
    return SILR_OK;
}

static silr_status set_up(reader *rd, silr_error *err)
{
    const silr_wanted *w = &rd->wanted;
    silr_corpus *c;
    silr_status st = silr_wanted_init(&rd->wanted, rd->task, err);

    if (st != SILR_OK || (st = silr_files_list(&rd->files, &rd->n_files, rd->task, err)) != SILR_OK)
        return st;
    rd->threads = silr_threads((int)rd->task->threads);
    if (!(c = rd->c = silr_calloc(1, sizeof *c)) ||
        !(c->text = silr_calloc((size_t)rd->threads, sizeof *c->text)) ||
        !(rd->worker = silr_calloc((size_t)rd->threads, sizeof *rd->worker)) ||
        !(rd->digest = EVP_MD_CTX_new()) || EVP_DigestInit_ex(rd->digest, EVP_sha256(), NULL) != 1)
        return silr_fail_memory(err);
    c->n_text = (size_t)rd->threads;
    for (int t = 0; t < rd->threads; t++) {
        silr_worker *own = &rd->worker[t];
        own->texts = &c->text[t];
        own->failed = silr_fields_init(&own->fields, w->name, w->len, w->n) != SILR_OK;
    }
    if (w->single && !(c->text_column = silr_strdup(w->template_text)))
        return silr_fail_memory(err);
    for (int role = SILR_ROLE_GROUP; role < SILR_ROLES; role++)
        if (w->slot[role] >= 0 &&
            !(c->kept[c->n_kept++].name = silr_strdup(w->name[w->slot[role]])))
            return silr_fail_memory(err);
    return SILR_OK;
}

static void tear_down(reader *rd)
{
    for (int t = 0; rd->worker && t < rd->threads; t++) {
        silr_fields_clear(&rd->worker[t].fields);
        silr_buf_clear(&rd->worker[t].text);
        silr_buf_clear(&rd->worker[t].fold);
        silr_buf_clear(&rd->worker[t].repair);
        silr_arena_clear(&rd->worker[t].batch);
    }
    silr_free(rd->worker);
    silr_free(rd->record);
    silr_free(rd->parsed);
    silr_free(rd->fold);
    silr_free(rd->lacks);
    silr_interned_clear(&rd->names);
    silr_files_free(rd->files, rd->n_files);
    silr_wanted_clear(&rd->wanted);
    EVP_MD_CTX_free(rd->digest);
    silr_corpus_free(rd->c);
}

static silr_status finish(reader *rd, silr_error *err)
{
    unsigned char sum[32];
    const silr_kept *group = rd->wanted.slot[SILR_ROLE_GROUP] >= 0 ? &rd->c->kept[0] : NULL;

    if (EVP_DigestFinal_ex(rd->digest, sum, NULL) != 1)
        return silr_fail_memory(err);
    for (int i = 0; i < 32; i++)
        snprintf(rd->c->digest.hex + 2 * i, 3, "%02x", sum[i]);
    return silr_split_draw(rd->c, rd->fold, group, rd->task) == SILR_OK ? SILR_OK
                                                                        : silr_fail_memory(err);
}

silr_status silr_corpus_read(silr_corpus **out, const silr_task *task, silr_bad_row bad, void *ctx,
                             silr_error *err)
{
    reader rd = {.task = task, .bad = bad, .ctx = ctx};
    silr_status st = set_up(&rd, err);

    *out = NULL;
    for (size_t i = 0; st == SILR_OK && i < rd.n_files; i++)
        st = rd.full ? digest_file(&rd, rd.files[i], err) : read_file(&rd, rd.files[i], err);
    if (st == SILR_OK && (st = check(&rd, err)) == SILR_OK && (st = finish(&rd, err)) == SILR_OK) {
        *out = rd.c;
        rd.c = NULL;
    }
    tear_down(&rd);
    return st;
}
