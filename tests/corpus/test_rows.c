/* test_rows.c - the formats, row by row: what a row is taken for, and which rows are refused. */
#include "corpus_tests.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* A row as `column=value|column=value;`, null as <null>; a bad one as `!the sentence;`. */
static void show(silr_buf *out, const char *bytes, size_t len, const char *name, silr_format format)
{
    silr_rows *r = NULL;
    silr_row row;
    silr_error err;
    int how;

    silr_buf_reset(out);
    if (silr_rows_open_memory(&r, bytes, len, name, format, &err) != SILR_OK) {
        silr_buf_printf(out, "!!%s", err.text);
        return;
    }
    while ((how = silr_rows_next(r, &row, &err)) == 1 || how == SILR_EINPUT) {
        if (how == SILR_EINPUT) {
            silr_buf_printf(out, "!%s;", err.text);
            continue;
        }
        for (size_t i = 0; i < row.n; i++) {
            assert_true(!row.values[i] || strlen(row.values[i]) == row.lens[i]);
            silr_buf_printf(out, "%s%s=%s", i ? "|" : "", row.names[i],
                            row.values[i] ? row.values[i] : "<null>");
        }
        silr_buf_puts(out, ";");
    }
    if (how < 0)
        silr_buf_printf(out, "!!%s", err.text);
    silr_rows_close(r);
}

#define S(x) x, sizeof x - 1
static const struct {
    const char *name, *in;
    size_t len;
    const char *want;
} formats[] = {
    {"a.jsonl", S("{\"a\":\"x\",\"b\":1}\n\n  \r\n{ \"a\" : null , \"b\" : -1.50e+3 }"),
     "a=x|b=1;a=<null>|b=-1.50e+3;"},
    {"bom.jsonl", S("\xef\xbb\xbf{\"a\":true,\"b\":false}\r\n"), "a=true|b=false;"},
    {"nested.jsonl", S("{\"a\":[1,{\"b\":\"}\\\"\"}, [] , {}],\"c\":{\"d\":[[]]}}"),
     "a=[1,{\"b\":\"}\\\"\"}, [] , {}]|c={\"d\":[[]]};"},
    {"twice.jsonl", S("{\"a\":1,\"b\":2,\"a\":\"last\"}"), "a=last|b=2;"},
    {"empty.jsonl", S("{}\n{\"\":\"\"}"), ";=;"},
    {"escapes.jsonl", S("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00\"}"),
     "a=\"\\/\b\f\n\r\t\u00e9\u20ac\U0001F600;"},
    {"half.jsonl", S("{\"a\":\"x\\ud83dy\\ude00z\\ud83d\\u0041\"}"), "a=x\ufffdy\ufffdz\ufffdA;"},
    {"nul.jsonl", S("{\"a\":\"x\\u0000y\",\"k\\u0000\":1}"), "a=x y|k =1;"},
    {"bad8.jsonl", S("{\"a\":\"x\xffy\xe2\x82z\xf0\x9f\x98\"}"), "a=x\ufffdy\ufffdz\ufffd;"},
    {"key.jsonl", S("{\"\\u0061b\":\"c\"}"), "ab=c;"},
    {"good.jsonl", S("{\"a\":1}\n[1]\nx\n{\"a\":2}\n"),
     "a=1;!good.jsonl:2: not a JSON object (one {...} a line);!good.jsonl:3: not a JSON object "
     "(one {...} a line);a=2;"},
    {"e1.jsonl", S("{\"a\":1,}"),
     "!e1.jsonl:1: broken JSON at byte 8: a name in quotes was expected;"},
    {"e2.jsonl", S("{\"a\" 1}"), "!e2.jsonl:1: broken JSON at byte 6: a colon was expected;"},
    {"e3.jsonl", S("{\"a\":\"x"), "!e3.jsonl:1: broken JSON at byte 8: a string is not closed;"},
    {"e4.jsonl", S("{\"a\":01}"), "!e4.jsonl:1: broken JSON at byte 7: a comma or } was expected;"},
    {"e5.jsonl", S("{\"a\":1} {"),
     "!e5.jsonl:1: broken JSON at byte 9: something follows the object;"},
    {"e6.jsonl", S("{\"a\":\"\tx\"}"),
     "!e6.jsonl:1: broken JSON at byte 7: a control character in a string (write it as \\u00xx);"},
    {"e7.jsonl", S("{\"a\":\"\\x\"}"), "!e7.jsonl:1: broken JSON at byte 8: no such escape;"},
    {"e8.jsonl", S("{\"a\":\"\\u12g4\"}"),
     "!e8.jsonl:1: broken JSON at byte 8: \\u needs four hexadecimal digits;"},
    {"e9.jsonl", S("{\"a\":nul}"),
     "!e9.jsonl:1: broken JSON at byte 6: a value is missing or unknown;"},
    {"e10.jsonl", S("{\"a\":[1,2}"),
     "!e10.jsonl:1: broken JSON at byte 10: a comma or ] was expected;"},
    {"a.csv", S("a,b\r\n1,x\r\n\r\n\"2\",\"y, \"\"z\"\"\r\nw\"\n,\n"),
     "a=1|b=x;a=2|b=y, \"z\"\r\nw;a=|b=;"},
    {"bom.csv", S("\xef\xbb\xbf\"a\",b\n1,2"), "a=1|b=2;"},
    {"inch.csv", S("a,b\n5\" nail,6\"\n"), "a=5\" nail|b=6\";"},
    {"few.csv", S("a,b\n1\n1,2,3\n1,2\n"),
     "!few.csv:2: has 1 field, but the header has 2;!few.csv:3: has 3 fields, but the header has "
     "2;a=1|b=2;"},
    {"open.csv", S("a,b\n1,\"x\ny\"\n2,\"z\n3,4\n"),
     "a=1|b=x\ny;!!open.csv:4: a quote begins here that is never closed"},
    {"tail.csv", S("a,b\n\"x\"y,1\n2,3\n"),
     "!tail.csv:2: field 1 goes on behind its closing quote;a=2|b=3;"},
    {"twice.csv", S("a,b,a\n1,2,3\n"), "!!twice.csv:1: the header has two columns \"a\""},
    {"a.tsv", S("a\tb\nx, y\t\"q\tr\"\n\t\n"), "a=x, y|b=q\tr;a=|b=;"},
    {"nul.csv", S("a\nx\0y\n"), "a=x y;"},
    {"a.ft", S("__label__pos a fine film\n__label__neg\n no label\n"),
     "text=a fine film|label=pos;text=|label=neg;text= no label|label=<null>;"},
    {"mid.ft", S("so __label__x bad\nend __label__y\n  __label__z  t \n"),
     "text=so bad|label=x;text=end|label=y;text=  t|label=z;"},
    {"two.ft", S("__label__a __label__b t\n"),
     "!two.ft:1: more than one __label__; silr gives a text one class;"},
    {"a.txt", S("one\r\n\ntwo, and three\n"), "text=one;text=;text=two, and three;"},
    {"-", S(" {\"a\":1}\n"), "a=1;"},
    {"-", S("__label__x y\n"), "text=y|label=x;"},
    {"-", S("a\tb\n1\t2\n"), "a=1|b=2;"},
    {"-", S("id,text\n1,hello\n"), "id=1|text=hello;"},
    {"-", S("Well, this is a sentence\n"), "text=Well, this is a sentence;"},
    {"w.txt", S("\xff\xfe{\0"), "!!w.txt: is UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)"},
};

static void every_format(void **state)
{
    silr_buf got = {0};
    (void)state;

    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        show(&got, formats[i].in, formats[i].len, formats[i].name, SILR_FORMAT_AUTO);
        assert_string_equal(got.data ? got.data : "", formats[i].want);
    }
    silr_buf_clear(&got);
}

/* What jansson, a parser of its own make, takes for an object, we do; and the other way round,
 * but for what we repair (UTF-8, half surrogates) or do not look into (the size of a number). */
static void agrees_with_jansson(void **state)
{
    static const char *const pieces[] = {
        "{",    "}", "[",  "]",  ",", ":",  "\"a\"",  "\"\\u00e9\"", "1", "-0.5e1", "true",
        "null", " ", "\"", "\\", "0", "01", "\"b\":", "\t",          "-", "."};
    enum { PIECES = sizeof pieces / sizeof pieces[0], TRIES = 200000 };
    silr_rng rng;
    size_t accepted = 0;
    (void)state;

    silr_rng_init(&rng, 3, SILR_RNG_TEST, 0, 0);
    for (int t = 0; t < TRIES; t++) {
        char line[200] = "{\"k\":", copy[200];
        silr_fields all = {0};
        silr_record r;
        json_error_t why;
        json_t *theirs;
        bool ours;
        size_t n = 1 + silr_rng_below(&rng, 7);
        for (size_t k = 0; k < n; k++)
            strncat(line, pieces[silr_rng_below(&rng, PIECES)], sizeof line - strlen(line) - 1);
        strncat(line, "}", sizeof line - strlen(line) - 1);
        memcpy(copy, line, sizeof copy);
        r = (silr_record){copy, strlen(copy), 1, NULL, false};
        ours = silr_json_parse(&r, &all) == SILR_OK;
        theirs = json_loads(line, 0, &why);
        if (ours != (theirs != NULL) && !strstr(why.text, "overflow"))
            fail_msg("%s: %s", line, ours ? why.text : all.why);
        accepted += ours;
        json_decref(theirs);
        silr_fields_clear(&all);
    }
    assert_true(accepted > 1000);
}

static void deep_and_wide(void **state)
{
    silr_buf in = {0}, got = {0};
    (void)state;

    silr_buf_puts(&in, "{\"a\":");
    for (int i = 0; i < SILR_DEPTH_MAX; i++)
        silr_buf_puts(&in, i % 2 ? "{\"x\":" : "[");
    silr_buf_puts(&in, "1");
    for (int i = SILR_DEPTH_MAX; i-- > 0;)
        silr_buf_puts(&in, i % 2 ? "}" : "]");
    silr_buf_puts(&in, "}");
    show(&got, in.data, in.len, "d.jsonl", SILR_FORMAT_AUTO);
    assert_memory_equal(got.data, "a=[{", 4);
    silr_buf_reset(&in);
    for (int i = 0; i < 100000; i++)
        silr_buf_puts(&in, i ? "[" : "{\"a\":");
    show(&got, in.data, in.len, "d.jsonl", SILR_FORMAT_AUTO);
    assert_string_equal(got.data, "!d.jsonl:1: broken JSON at byte 70: nested more than 64 deep;");
    silr_buf_reset(&in);
    for (int i = 0; i <= SILR_COLUMNS_MAX; i++)
        silr_buf_printf(&in, "%s\"%d\":1", i ? "," : "{", i);
    silr_buf_puts(&in, "}\n{\"a\":1}");
    show(&got, in.data, in.len, "w.jsonl", SILR_FORMAT_AUTO);
    assert_string_equal(got.data, "!w.jsonl:1: more than 4096 columns;a=1;");
    silr_buf_clear(&in);
    silr_buf_clear(&got);
}

/* A row over the limit is skipped and named; the rows around it are whole, whatever the format. */
static void big_row(void **state)
{
    static const struct {
        const char *name, *before, *after, *want;
    } cases[] = {
        {"b.jsonl", "{\"a\":1}\n{\"a\":\"", "\"}\n{\"a\":2}\n",
         "a=1;!b.jsonl:2: longer than 8 MiB;a=2;"},
        {"b.csv", "a\n1\n\"", "\n\n\"\n2\n", "a=1;!b.csv:3: longer than 8 MiB;a=2;"},
        {"b.txt", "x\n", "\ny", "text=x;!b.txt:2: longer than 8 MiB;text=y;"},
    };
    silr_buf in = {0}, got = {0};
    (void)state;

    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        char chunk[1000];
        memset(chunk, 'z', sizeof chunk);
        silr_buf_reset(&in);
        silr_buf_puts(&in, cases[k].before);
        for (int i = 0; i < 10000; i++)
            silr_buf_add(&in, chunk, sizeof chunk);
        silr_buf_puts(&in, cases[k].after);
        show(&got, in.data, in.len, cases[k].name, SILR_FORMAT_AUTO);
        assert_string_equal(got.data, cases[k].want);
    }
    silr_buf_clear(&in);
    silr_buf_clear(&got);
}

static void templates(void **state)
{
    static const char *const names[] = {"title", "n", "none", "tags"};
    static const char *const values[] = {"T", "7", NULL, "[1]"};
    static const size_t lens[] = {1, 1, 0, 3};
    static const unsigned char kinds[] = {SILR_VALUE_STRING, SILR_VALUE_NUMBER, SILR_VALUE_NULL,
                                          SILR_VALUE_NESTED};
    static const struct {
        const char *template_text, *want;
        silr_status st;
    } cases[] = {
        {"title", "T", SILR_OK},
        {"# {title}\n{n}{{x}}{none}.", "# T\n7{x}.", SILR_OK},
        {"n", "\"n\" is not a string", SILR_EINPUT},
        {"none", "\"none\" is null", SILR_EINPUT},
        {"{tags}", "\"tags\" is not a string", SILR_EINPUT},
        {"{gone}", "has no \"gone\"", SILR_EINPUT},
        {"{title",
         "corpus.text: \"{title\": a brace has no partner or no column in it (write {{ or }} for a "
         "brace)",
         SILR_EINPUT},
        {"a } b",
         "corpus.text: \"a } b\": a brace has no partner or no column in it (write {{ or }} for a "
         "brace)",
         SILR_EINPUT},
        {"{{title}}", "corpus.text: \"{{title}}\": names no column", SILR_EINPUT},
    };
    silr_row row = {4, names, values, lens, kinds, 1};
    silr_buf out = {0};
    silr_error err;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(silr_row_text(&row, cases[i].template_text, &out, &err), cases[i].st);
        assert_string_equal(cases[i].st == SILR_OK ? out.data : err.text, cases[i].want);
    }
    silr_buf_clear(&out);
}

/* The cutter sees the file through a window that grows: bytes that arrive one at a time must give
 * the same rows as all at once. Every prefix of a file is a file that ends too early. */
static void every_prefix(void **state)
{
    static const char csv[] = "a,b\n\"x\ny\",\"\"\"\"\n1,2\r\n";
    silr_buf got = {0};
    (void)state;

    for (size_t n = 0; n < sizeof csv; n++) {
        char *exact = silr_malloc(n); /* so that ASan sees a step too far */
        memcpy(exact, csv, n);
        show(&got, exact, n, "p.csv", SILR_FORMAT_CSV);
        silr_free(exact);
    }
    silr_buf_clear(&got);
}

const struct CMUnitTest row_tests[] = {
    cmocka_unit_test(every_format),  cmocka_unit_test(agrees_with_jansson),
    cmocka_unit_test(deep_and_wide), cmocka_unit_test(big_row),
    cmocka_unit_test(templates),     cmocka_unit_test(every_prefix),
};
const size_t n_row_tests = sizeof row_tests / sizeof row_tests[0];
