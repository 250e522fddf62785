/* test_corpus.c - whole corpora: what is read, what is refused and in which words. */
#include "corpus_tests.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

char folder[] = "/tmp/silr-corpus-XXXXXX";

void put_file(const char *name, const char *bytes, size_t len)
{
    char *path = silr_path_join(folder, name);
    assert_int_equal(silr_file_write(path, bytes, len, NULL), SILR_OK);
    silr_free(path);
}

void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text));
}

silr_task *task_for(by_hand *h, const char *file)
{
    *h = (by_hand){.classes = {"positive", "negative"}, .files = {(char *)file}};
    h->task.dir = folder;
    h->task.n_classes = 2;
    h->task.classes = h->classes;
    h->task.corpus.n_files = 1;
    h->task.corpus.files = h->files;
    h->task.corpus.text = "text";
    h->task.corpus.train = 0.7;
    h->task.corpus.validation = 0.1;
    h->task.corpus.test = 0.2;
    h->task.corpus.max_bad = 0.01;
    h->task.seed = 1;
    h->task.threads = 2;
    return &h->task;
}

silr_corpus *read_or_fail(const silr_task *task)
{
    silr_corpus *c = NULL;
    silr_error err = {0};
    if (silr_corpus_read(&c, task, NULL, NULL, &err) != SILR_OK)
        fail_msg("%s", err.text);
    return c;
}

static const char *without_folder(const char *text)
{
    static char out[1024];
    size_t n = 0, skip = strlen(folder) + 1;
    while (*text && n + 1 < sizeof out) {
        if (strncmp(text, folder, skip - 1) == 0)
            text += text[skip - 1] == '/' ? skip : skip - 1;
        else
            out[n++] = *text++;
    }
    out[n] = '\0';
    return out;
}

const char *complaint(const silr_task *task)
{
    silr_corpus *c = NULL;
    silr_error err = {0};
    assert_int_equal(silr_corpus_read(&c, task, NULL, NULL, &err), SILR_EINPUT);
    assert_null(c);
    assert_int_equal(err.status, SILR_EINPUT);
    return without_folder(err.text);
}

silr_status count_bad(void *ctx, const char *file, uint64_t line, const char *why, silr_error *err)
{
    silr_buf *b = ctx;
    (void)err;
    silr_buf_printf(b, "%s:%u: %s\n", without_folder(file), (unsigned)line, why);
    return SILR_OK;
}

/* --- bad input, word by word -------------------------------------------------------------------
 */

static void bad_input(void **state)
{
    static const struct {
        const char *file, *content, *text, *id, *label, *want;
    } cases[] = {
        {"gone.jsonl", NULL, "text", NULL, NULL, "gone.jsonl: No such file or directory"},
        {"*.gone", NULL, "text", NULL, NULL, "corpus.files: \"*.gone\" matches no file"},
        {".", NULL, "text", NULL, NULL, ".: is a folder, not a file"},
        {"r.jsonl", "", "text", NULL, NULL, "r.jsonl: no documents"},
        {"r.jsonl", "\n \n", "text", NULL, NULL, "r.jsonl: no documents"},
        {"r.csv", "", "text", NULL, NULL, "r.csv: no documents"},
        {"r.csv", "text\n", "text", NULL, NULL, "r.csv: no documents"},
        {"r.jsonl", "{\"text\":\"a\"}\n{\"text\":3}\n", "text", NULL, NULL,
         "r.jsonl:2: \"text\" is not a string"},
        {"r.jsonl", "{\"text\":\"a\"}\n{\"text\":null}\n", "text", NULL, NULL,
         "r.jsonl:2: \"text\" is null"},
        {"r.jsonl", "{\"text\":\"a\"}\n{\"text\":[\"b\"]}\n", "text", NULL, NULL,
         "r.jsonl:2: \"text\" is not a string"},
        {"r.jsonl", "{\"text\":\"a\"}\n{\"body\":\"b\"}\n", "text", NULL, NULL,
         "r.jsonl:2: \"text\" is missing"},
        {"r.jsonl", "{\"body\":\"b\"}\n{\"text\":\"a\"}\n", "text", NULL, NULL,
         "r.jsonl:1: \"text\" is missing"},
        {"r.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"\n", "text", NULL, NULL,
         "r.jsonl:2: broken JSON at byte 12: a comma or } was expected"},
        {"r.jsonl", "{\"body\":\"a\",\"n\":1}\n", "text", NULL, NULL,
         "corpus.text: no column \"text\" in r.jsonl; there are: body, n"},
        {"r.csv", "body,n\na,1\n", "text", NULL, NULL,
         "corpus.text: no column \"text\" in r.csv; there are: body, n"},
        {"r.txt", "hello\n", "body", NULL, NULL,
         "corpus.text: no column \"body\" in r.txt; there are: text"},
        {"r.jsonl", "{\"text\":\"a\",\"n\":1}\n", "text", "id", NULL,
         "corpus.id: no column \"id\" in r.jsonl; there are: text, n"},
        {"r.jsonl", "{\"text\":\"a\",\"n\":1}\n", "text", NULL, "label",
         "corpus.label: no column \"label\" in r.jsonl; there are: text, n"},
        {"r.jsonl", "{\"t\":\"a\",\"n\":1}\n", "{t}: {u}", NULL, NULL,
         "corpus.text: no column \"u\" in r.jsonl; there are: t, n"},
        {"r.jsonl", "{\"text\":\"a\",\"label\":\"maybe\"}\n", "text", NULL, "label",
         "r.jsonl:1: \"label\" is \"maybe\", which is no class (positive, negative); map it in "
         "corpus.label_values"},
        {"r.csv", "text\n\"a\nb\n", "text", NULL, NULL,
         "r.csv:2: a quote begins here that is never closed"},
        {"r.csv", "text,text\na,b\n", "text", NULL, NULL,
         "r.csv:1: the header has two columns \"text\""},
        {"r.jsonl.gz", "{\"text\":\"a\"}\n", "text", NULL, NULL,
         "r.jsonl.gz: not a gzip file, whatever its name says"},
        {"r.jsonl.zst", "{\"text\":\"a\"}\n", "text", NULL, NULL,
         "r.jsonl.zst: not a zstd file, whatever its name says"},
        {"r.jsonl", "{\"text\":\"a\"}\n", "{text", NULL, NULL,
         "corpus.text: \"{text\": a brace has no partner or no column in it (write {{ or }} for a "
         "brace)"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        by_hand h;
        silr_task *task = task_for(&h, cases[i].file);
        task->corpus.text = (char *)cases[i].text;
        task->corpus.id = (char *)cases[i].id;
        task->corpus.label = (char *)cases[i].label;
        if (cases[i].content)
            put_text(cases[i].file, cases[i].content);
        assert_string_equal(complaint(task), cases[i].want);
    }
}

static void empty_packed_file(void **state)
{
    by_hand h;
    (void)state;
    put_text("zero.jsonl.gz", "");
    assert_string_equal(complaint(task_for(&h, "zero.jsonl.gz")),
                        "zero.jsonl.gz: not a gzip file, whatever its name says");
}

/* A typo in corpus.text is found after a thousand rows, not after all of a hundred gigabytes. */
static void wrong_column_is_found_early(void **state)
{
    by_hand h;
    silr_buf b = {0}, met = {0};
    silr_corpus *c;
    silr_error err;
    (void)state;

    for (int i = 0; i < 3000; i++)
        silr_buf_puts(&b, "{\"body\":\"x\"}\n");
    put_file("typo.jsonl", b.data, b.len);
    assert_int_equal(silr_corpus_read(&c, task_for(&h, "typo.jsonl"), count_bad, &met, &err),
                     SILR_EINPUT);
    assert_string_equal(without_folder(err.text),
                        "corpus.text: no column \"text\" in typo.jsonl; there are: body");
    assert_int_equal(met.len, 0);
    silr_buf_clear(&b);
}

/* Bad rows are handed over one by one; only their share decides. */
static void bad_rows_are_tolerated(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "some.jsonl");
    silr_buf met = {0};
    silr_corpus *c = NULL;
    silr_error err;
    (void)state;

    put_text("some.jsonl",
             "{\"x\":1}\n{\"text\":\"a\"}\n{\"text\":1}\n{\"text\":\"b\"}\n{\n{\"text\":\"c\"}\n");
    task->corpus.max_bad = 0.5;
    assert_int_equal(silr_corpus_read(&c, task, count_bad, &met, &err), SILR_OK);
    assert_string_equal(
        met.data, "some.jsonl:1: \"text\" is missing\nsome.jsonl:3: \"text\" is not a string\n"
                  "some.jsonl:5: broken JSON at byte 2: a name in quotes was expected\n");
    assert_int_equal(silr_corpus_size(c), 3);
    assert_int_equal(silr_corpus_info(c)->rows, 6);
    assert_int_equal(silr_corpus_info(c)->bad_rows, 3);
    silr_corpus_free(c);
    task->corpus.max_bad = 0.4;
    assert_int_equal(silr_corpus_read(&c, task, count_bad, &met, &err), SILR_EINPUT);
    assert_string_equal(without_folder(err.text),
                        "3 of 6 rows are bad, more than corpus.max_bad (0.4) allows; the first: "
                        "some.jsonl:1: \"text\" is missing");
    silr_buf_clear(&met);
}

/* --- packing -----------------------------------------------------------------------------------
 */

static void read_packed(const char *name, const char *bytes, size_t len, size_t documents)
{
    by_hand h;
    silr_corpus *c;
    put_file(name, bytes, len);
    c = read_or_fail(task_for(&h, name));
    assert_int_equal(silr_corpus_size(c), documents);
    assert_string_equal(silr_corpus_text(c, documents - 1, NULL), "text 4999");
    silr_corpus_free(c);
}

static void packed_files(void **state)
{
    static const size_t cuts[] = {3, 11, 100, 4000};
    silr_buf plain = {0}, gz = {0}, zst = {0};
    z_stream z = {0};
    by_hand h;
    (void)state;

    for (int i = 0; i < 5000; i++)
        silr_buf_printf(&plain, "{\"text\":\"text %d\"}\n", i);
    for (int twice = 0; twice < 2; twice++) { /* two members, two frames: as cat makes them */
        char out[1 << 16];
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, 0), Z_OK);
        z.next_in = (unsigned char *)plain.data;
        z.avail_in = (unsigned)plain.len;
        z.next_out = (unsigned char *)out;
        z.avail_out = sizeof out;
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        silr_buf_add(&gz, out, z.total_out);
        deflateEnd(&z);
        silr_buf_add(&zst, out, ZSTD_compress(out, sizeof out, plain.data, plain.len, 3));
    }
    read_packed("p.jsonl.gz", gz.data, gz.len, 10000);
    read_packed("p.jsonl.zst", zst.data, zst.len, 10000);
    read_packed("p.jsonl", gz.data, gz.len, 10000); /* known by its bytes */
    for (size_t k = 0; k < 4; k++) {
        put_file("t.jsonl.gz", gz.data, gz.len - cuts[k]);
        assert_string_equal(
            complaint(task_for(&h, "t.jsonl.gz")),
            "t.jsonl.gz: truncated: the gzip data stop before their end; copy or fetch it again");
        put_file("t.jsonl.zst", zst.data, zst.len - cuts[k]);
        assert_string_equal(
            complaint(task_for(&h, "t.jsonl.zst")),
            "t.jsonl.zst: truncated: the zstd data stop before their end; copy or fetch it again");
    }
    silr_buf_puts(&gz, "tail");
    put_file("t.jsonl.gz", gz.data, gz.len);
    assert_string_equal(complaint(task_for(&h, "t.jsonl.gz")),
                        "t.jsonl.gz: other bytes follow the gzip data");
    memset(gz.data + 500, 0x55, 200);
    put_file("t.jsonl.gz", gz.data, gz.len);
    assert_memory_equal(complaint(task_for(&h, "t.jsonl.gz")), "t.jsonl.gz: damaged gzip data (",
                        31);
    memset(zst.data + 5, 0xff, 20);
    put_file("t.jsonl.zst", zst.data, zst.len);
    assert_memory_equal(complaint(task_for(&h, "t.jsonl.zst")), "t.jsonl.zst: damaged zstd data (",
                        32);
    silr_buf_clear(&plain);
    silr_buf_clear(&gz);
    silr_buf_clear(&zst);
}

/* Three batches, and a row that no batch holds: the seams do not show, in any format. */
static void batches_have_no_seams(void **state)
{
    static const char *const names[] = {"big.jsonl", "big.csv"};
    enum { ROWS = 30000, LONG = 6 << 20, AT = 9000 };
    char *big = silr_malloc(LONG + 1);
    (void)state;

    memset(big, 'y', LONG);
    big[LONG] = '\0';
    for (int csv = 0; csv < 2; csv++) {
        by_hand h;
        silr_task *task = task_for(&h, names[csv]);
        silr_buf b = {0};
        silr_corpus *c;
        silr_buf_puts(&b, csv ? "id,text\n" : "");
        for (int i = 0; i < ROWS; i++) {
            silr_buf_printf(&b, csv ? "%d,\"" : "{\"id\":%d,\"text\":\"", i);
            silr_buf_printf(&b, "%s%*d%s", csv ? "a\n" : "a\\n", 300, i, i == AT ? big : "");
            silr_buf_puts(&b, csv ? "\"\n" : "\"}\n");
        }
        put_file(names[csv], b.data, b.len);
        task->corpus.id = "id";
        c = read_or_fail(task);
        assert_int_equal(silr_corpus_size(c), ROWS);
        for (size_t i = 0; i < ROWS; i++) {
            size_t len;
            const char *t = silr_corpus_text(c, i, &len);
            assert_int_equal(len, 302 + (i == AT ? LONG : 0));
            assert_int_equal(atol(t + 2), i);
            assert_int_equal(atol(silr_corpus_id(c, i)), i);
        }
        silr_corpus_free(c);
        silr_buf_clear(&b);
    }
    silr_free(big);
}

/* A disk that fails is no fault of the user's data. */
static void failing_reads(void **state)
{
    by_hand h;
    silr_corpus *c;
    silr_error err;
    (void)state;

    if (!silr_file_exists("/proc/self/mem")) { /* its first page cannot be read */
        print_message("skipped: no file here whose reading fails\n");
        skip();
    }
    assert_int_equal(silr_corpus_read(&c, task_for(&h, "/proc/self/mem"), NULL, NULL, &err),
                     SILR_EIO);
    assert_string_equal(err.text, "/proc/self/mem: cannot be read: Input/output error");
}

/* --- what a corpus keeps -----------------------------------------------------------------------
 */

static void ids_are_unique(void **state)
{
    static const char *const want[] = {"a",   "a#2", "row-3", "a#2#2",  "row-5",
                                       "a#3", "7",   "true",  "row-3#2"};
    by_hand h;
    silr_task *task = task_for(&h, "ids.jsonl");
    silr_corpus *c;
    (void)state;

    put_text("ids.jsonl",
             "{\"id\":\"a\",\"text\":\"1\"}\n{\"id\":\"a\",\"text\":\"2\"}\n{\"text\":\"3\"}\n"
             "{\"id\":\"a#2\",\"text\":\"4\"}\n{\"id\":null,\"text\":\"5\"}\n{\"id\":\"a\","
             "\"text\":\"6\"}\n"
             "{\"id\":7,\"text\":\"7\"}\n{\"id\":true,\"text\":\"8\"}\n{\"id\":\"row-3\",\"text\":"
             "\"9\"}\n");
    task->corpus.id = "id";
    c = read_or_fail(task);
    for (size_t i = 0; i < 9; i++) {
        assert_string_equal(silr_corpus_id(c, i), want[i]);
        assert_int_equal(silr_corpus_find(c, want[i]), i);
    }
    assert_true(silr_corpus_find(c, "b") == SIZE_MAX);
    assert_int_equal(silr_corpus_info(c)->missing_ids, 2);
    assert_int_equal(silr_corpus_info(c)->duplicate_ids, 4);
    silr_corpus_free(c);
    task->corpus.id = NULL;
    c = read_or_fail(task);
    assert_string_equal(silr_corpus_id(c, 8), "9");
    silr_corpus_free(c);
}

static void texts_are_repaired(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "utf8.txt");
    silr_corpus *c;
    size_t len;
    (void)state;

    put_file(
        "utf8.txt",
        "\xef\xbb\xbfok\n\xc0\xaf\xed\xa0\x80 \xf4\x90\nx\0y\n\n \t\nna\xc3\xafve caf\xc3\xa9\n",
        36);
    task->corpus.max_bytes = 10;
    c = read_or_fail(task);
    assert_int_equal(silr_corpus_size(c), 6);
    assert_string_equal(silr_corpus_text(c, 0, &len), "ok");
    assert_int_equal(len, 2);
    assert_string_equal(silr_corpus_text(c, 1, NULL),
                        "\ufffd\ufffd\ufffd"); /* and cut at ten bytes: none is split */
    assert_string_equal(silr_corpus_text(c, 2, NULL), "x y");
    assert_string_equal(silr_corpus_text(c, 5, NULL), "na\u00efve caf");
    assert_true(silr_corpus_empty(c, 3) && silr_corpus_empty(c, 4) && !silr_corpus_empty(c, 2));
    assert_true(silr_corpus_group(c, 3) != silr_corpus_group(c, 4));
    assert_int_equal(silr_corpus_info(c)->bad_utf8, 1);
    assert_int_equal(silr_corpus_info(c)->nul, 1);
    assert_int_equal(silr_corpus_info(c)->cut, 2);
    assert_int_equal(silr_corpus_info(c)->empty, 2);
    silr_corpus_free(c);
}

static void columns_and_truth(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "cols.jsonl");
    silr_corpus *c;
    (void)state;

    put_text("cols.jsonl", "{\"t\":\"a\",\"n\":1.0,\"y\":\"positive\",\"llm\":1,\"g\":\"\"}\n"
                           "{\"t\":\"b\",\"n\":\"2\",\"y\":\"\",\"llm\":null,\"g\":\"z\"}\n"
                           "{\"t\":\"c\",\"n\":true,\"y\":\"negative\",\"llm\":-1.0}\n");
    task->corpus.text = "{t}/{n}";
    task->corpus.label = "y";
    task->corpus.group = "g";
    task->annotator.column = "llm";
    c = read_or_fail(task);
    assert_string_equal(silr_corpus_text(c, 0, NULL), "a/1.0");
    assert_string_equal(silr_corpus_text(c, 2, NULL), "c/true");
    assert_string_equal(silr_corpus_column(c, 0, "llm"), "1");
    assert_null(silr_corpus_column(c, 1, "llm"));
    assert_string_equal(silr_corpus_column(c, 2, "llm"), "-1.0");
    assert_null(silr_corpus_column(c, 0, "g"));
    assert_string_equal(silr_corpus_column(c, 1, "g"), "z");
    assert_null(silr_corpus_column(c, 0, "y")); /* the truth is had from silr_corpus_truth alone */
    assert_int_equal(silr_corpus_truth(c, 0), 0);
    assert_int_equal(silr_corpus_truth(c, 1), SILR_NO_LABEL);
    assert_int_equal(silr_corpus_truth(c, 2), 1);
    assert_int_equal(silr_corpus_info(c)->truths, 2);
    silr_corpus_free(c);
}

static void files_limit_and_digest(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "part-*.txt");
    silr_corpus *c;
    silr_sha256 all, want;
    (void)state;

    put_text("part-b.txt", "b1\nb2\n");
    put_text("part-a.txt", "a1\na2\n");
    h.files[1] = "part-c.txt";
    put_text("part-c.txt", "c1");
    c = read_or_fail(task);
    assert_int_equal(silr_corpus_size(c), 5);
    silr_corpus_free(c);
    task->corpus.n_files = 2;
    c = read_or_fail(task); /* part-c twice: by the pattern and by name */
    assert_int_equal(silr_corpus_size(c), 6);
    assert_string_equal(silr_corpus_text(c, 0, NULL), "a1");
    assert_string_equal(silr_corpus_text(c, 4, NULL), "c1");
    assert_int_equal(silr_corpus_info(c)->duplicates, 1);
    assert_int_equal(silr_corpus_digest_files(&all, task, NULL), SILR_OK);
    assert_int_equal(silr_sha256_bytes(&want, "a1\na2\nb1\nb2\nc1c1", 16, NULL), SILR_OK);
    assert_string_equal(all.hex, want.hex);
    assert_string_equal(silr_corpus_digest(c)->hex, all.hex);
    silr_corpus_free(c);
    task->limit = 3;
    c = read_or_fail(task);
    assert_int_equal(silr_corpus_size(c), 3);
    assert_string_equal(silr_corpus_text(c, 2, NULL), "b1");
    assert_string_equal(silr_corpus_digest(c)->hex, all.hex); /* of whole files all the same */
    silr_corpus_free(c);
}

static void standard_input(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "-");
    silr_corpus *c;
    char *path = silr_path_join(folder, "in.jsonl");
    int old = dup(STDIN_FILENO);
    (void)state;

    put_text("in.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    assert_non_null(freopen(path, "rb", stdin));
    c = read_or_fail(task);
    assert_int_equal(silr_corpus_size(c), 2);
    silr_corpus_free(c);
    dup2(old, STDIN_FILENO);
    close(old);
    silr_free(path);
}

/* --- memory ------------------------------------------------------------------------------------
 */

/* Each allocation of a whole read fails once: SILR_ENOMEM, nothing leaks (ASan looks). */
static void failing_allocations(void **state)
{
    by_hand h;
    silr_task *task = task_for(&h, "mem.jsonl");
    silr_buf b = {0};
    silr_corpus *c;
    silr_error err;
    silr_status st = SILR_ENOMEM;
    uint64_t n = 0;
    (void)state;

    for (int i = 0; i < 300; i++)
        silr_buf_printf(
            &b,
            "{\"id\":\"%d\",\"text\":\"t\xff %d\",\"g\":\"%d\",\"llm\":\"x\xff%d\",\"label\":1}\n",
            i / 2, i, i / 3, i);
    silr_buf_puts(&b, "{\"text\":1}\n");
    put_file("mem.jsonl", b.data, b.len);
    task->corpus.text = "{text}!";
    task->corpus.id = "id";
    task->corpus.group = "g";
    task->annotator.column = "llm";
    task->threads = 1;
    for (n = 1; st != SILR_OK && n < 5000; n++) {
        silr_buf met = {0};
        silr_mem_fail_at(n, false);
        st = silr_corpus_read(&c, task, count_bad, &met, &err);
        silr_mem_fail_at(0, false);
        if (st != SILR_OK)
            assert_int_equal(st, SILR_ENOMEM);
        silr_buf_clear(&met);
    }
    assert_true(n > 50);
    silr_corpus_free(c);
    silr_buf_clear(&b);
}

static void failing_allocations_of_rows(void **state)
{
    static const char in[] = "a,b\n\"x\",y\xff\n1,2\n";
    int how = SILR_ENOMEM;
    (void)state;

    for (uint64_t n = 1; how != 0 && n < 1000; n++) {
        silr_rows *r = NULL;
        silr_row row;
        silr_mem_fail_at(n, true);
        how = silr_rows_open_memory(&r, in, sizeof in - 1, "m.csv", SILR_FORMAT_CSV, NULL);
        while (r && (how = silr_rows_next(r, &row, NULL)) == 1)
            continue;
        silr_mem_fail_at(0, false);
        assert_true(how == 0 || how == SILR_ENOMEM);
        silr_rows_close(r);
    }
    assert_int_equal(how, 0);
}

/* --- real corpora ------------------------------------------------------------------------------
 */

static void real_corpora(void **state)
{
    static const struct {
        const char *file;
        size_t documents;
    } real[] = {
        {"babe_llm/data.jsonl.gz", 3020},          {"corona_sentiment/data.jsonl", 3179},
        {"css_misinfo_llm/data.jsonl", 500},       {"css_power_llm/data.jsonl", 498},
        {"environmental_claims/data.jsonl", 2647}, {"fomc_llm_multiclass/data.jsonl", 1204},
        {"isot_fake_news/data.jsonl.gz", 2328},    {"liar2_llm/data.jsonl", 2296},
        {"numclaim_llm/data.jsonl", 1525},         {"protein_bace/data.jsonl", 1513},
        {"protein_bbbp/data.jsonl", 2050},         {"rotten_tomatoes/data.jsonl.gz", 10662},
        {"safety_pairs/data.jsonl.gz", 4606},      {"safety_xstest_llm/data.jsonl.gz", 2234},
        {"selerosa/data.jsonl.gz", 13865},         {"trec_multiclass/data.jsonl", 5875}};
    const char *shared = getenv("SILR_SHARED"), *source = getenv("SILR_SOURCE");
    char *data = shared ? silr_path_join(shared, "data")
                        : silr_path_join(source ? source : ".", "../shared/data");
    (void)state;

    if (!silr_file_exists(data)) {
        print_message("skipped: no folder with the real corpora (set SILR_SHARED)\n");
        silr_free(data);
        skip();
    }
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        by_hand h;
        silr_task *task = task_for(&h, real[i].file);
        silr_corpus *c;
        task->dir = data;
        task->corpus.id = "id";
        c = read_or_fail(task);
        assert_int_equal(silr_corpus_size(c), real[i].documents);
        assert_int_equal(silr_corpus_info(c)->bad_utf8, 0);
        assert_int_equal(silr_corpus_info(c)->duplicate_ids, 0);
        silr_corpus_free(c);
    }
    silr_free(data);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info, (void)kind, (void)ftw;
    return remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input),
        cmocka_unit_test(empty_packed_file),
        cmocka_unit_test(wrong_column_is_found_early),
        cmocka_unit_test(bad_rows_are_tolerated),
        cmocka_unit_test(packed_files),
        cmocka_unit_test(batches_have_no_seams),
        cmocka_unit_test(failing_reads),
        cmocka_unit_test(ids_are_unique),
        cmocka_unit_test(texts_are_repaired),
        cmocka_unit_test(columns_and_truth),
        cmocka_unit_test(files_limit_and_digest),
        cmocka_unit_test(standard_input),
        cmocka_unit_test(failing_allocations),
        cmocka_unit_test(failing_allocations_of_rows),
        cmocka_unit_test(real_corpora),
    };
    int failed;

    if (!mkdtemp(folder))
        return 1;
    silr_mem_install();
    failed = _cmocka_run_group_tests("rows", row_tests, n_row_tests, NULL, NULL) +
             _cmocka_run_group_tests("split", split_tests, n_split_tests, NULL, NULL) +
             cmocka_run_group_tests(tests, NULL, NULL);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
