/* test_annotate.c - columns, rules and lexicons label as written down, abstain where they should,
 * and cannot be made to run away.
 *
 * An annotator sees a corpus through six functions and a task as a structure, so both are played
 * here: a test says its texts and rules in place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "annotate/internal.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- a made-up corpus and task ----------------------------------------------------------------- */

struct silr_corpus {
    size_t n;
    const char *const *text, *const *column, *const *odds;
};
size_t silr_corpus_size(const silr_corpus *c) { return c->n; }
const char *silr_corpus_text(const silr_corpus *c, size_t i, size_t *len)
{
    *len = strlen(c->text[i]);
    return c->text[i];
}
const char *silr_corpus_id(const silr_corpus *c, size_t i)
{
    static const char *const ids[] = {"zero", "one", "two", "three", "four"};
    (void)c;
    return i < 5 ? ids[i] : "many";
}
bool silr_corpus_empty(const silr_corpus *c, size_t i) { return c->text[i][0] == '\0'; }
const char *silr_corpus_column(const silr_corpus *c, size_t i, const char *column)
{
    return strcmp(column, "llm") == 0 && c->column ? c->column[i]
           : strcmp(column, "odds") == 0 && c->odds ? c->odds[i] : NULL;
}

static char *class_names[] = {"sport", "politics", "tech"};
enum { SPORT, POLITICS, TECH };

static silr_task rules_task(silr_rule *rules, size_t n)
{
    silr_task t = {.path = (char *)"task.yaml", .n_classes = 3, .classes = class_names, .threads = 1};
    t.annotator.kind = SILR_ANNOTATOR_RULES;
    t.annotator.rules = rules;
    t.annotator.n_rules = n;
    t.annotator.match_limit = 1000000;
    return t;
}
#define RULE(c, p, w) {.label = (c), .pattern = (char *)(p), .weight = (w), .line = 7}

/* What an annotator said of each document. */
typedef struct {
    size_t n, stop_at;
    float logp[4096][2]; /* of said, where it has them */
    silr_annotation said[4096];
    char reason[4096][32];
} notes;

static silr_status write_down(void *ctx, size_t doc, const silr_annotation *a, silr_error *err)
{
    notes *w = ctx;
    assert_int_equal(doc, w->n); /* in order */
    w->said[w->n] = *a;
    if (a->logp)
        memcpy(w->logp[w->n], a->logp, sizeof w->logp[0]);
    snprintf(w->reason[w->n], sizeof w->reason[0], "%s", a->reason ? a->reason : "");
    if (++w->n == w->stop_at)
        return silr_fail(err, SILR_EIO, "full");
    return SILR_OK;
}

static silr_error err;
static uint32_t all_docs[4096];

static silr_status run_on(const silr_task *t, const silr_corpus *c, notes *w)
{
    silr_annotator *a;
    silr_status st = silr_annotator_new(&a, t, NULL, &err);

    memset(w, 0, sizeof *w);
    for (uint32_t i = 0; i < 4096; i++)
        all_docs[i] = i;
    if (st == SILR_OK)
        st = a->annotate(a, c, all_docs, c->n, write_down, w, &err);
    silr_annotator_free(a);
    return st;
}
static void annotate_all(const silr_task *t, const silr_corpus *c, notes *w)
{
    if (run_on(t, c, w) != SILR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(w->n, c->n);
}
static void says(const char *part)
{
    if (!strstr(err.text, part))
        fail_msg("\"%s\" is not in: %s", part, err.text);
}
#define CORPUS(texts) {.n = sizeof(texts) / sizeof(texts)[0], .text = (texts)}

/* --- votes ------------------------------------------------------------------------------------- */

static notes book, other_book;

/* Every occurrence counts: that is what "most hits wins" means for six keywords a class. */
static void most_hits_win(void **state)
{
    silr_rule rules[] = {RULE(SPORT, "\\b(?:match|coach|cup)\\b", 1),
                         RULE(POLITICS, "\\b(?:minister|party)\\b", 1)};
    const char *const texts[] = {
        "The match of the cup, and a minister",     /* 2 : 1 */
        "MATCH after match, says the party's minister: a party", /* 2 : 3 */
        "The minister at the match",                /* 1 : 1 */
        "Nothing of either: matches, copartying",   /* whole words only */
        "",
    };
    const silr_corpus c = CORPUS(texts);
    const silr_task t = rules_task(rules, 2);
    (void)state;

    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, SPORT);
    assert_true(fabsf(book.said[0].confidence - 2.0f / 3) < 1e-6f);
    assert_int_equal(book.said[0].votes, 3);
    assert_int_equal(book.said[1].label, POLITICS);
    assert_int_equal(book.said[2].label, SILR_NO_LABEL);
    assert_string_equal(book.reason[2], "a tie");
    assert_true(isnan(book.said[2].confidence));
    assert_int_equal(book.said[3].label, SILR_NO_LABEL);
    assert_int_equal(book.said[3].votes, 0);
    assert_string_equal(book.reason[3], "no rule matched");
    assert_string_equal(book.reason[4], "empty text");
}

/* 0.1 + 0.1 + 0.1 is not 0.3 in binary, and still a tie; a third class above both wins. */
static void weights(void **state)
{
    silr_rule rules[] = {RULE(SPORT, "a", 0.1), RULE(POLITICS, "b", 0.3), RULE(TECH, "c", 0.35)};
    const char *const texts[] = {"aaa b", "aaa b c", "aaaa b", "b aa"};
    const silr_corpus c = CORPUS(texts);
    const silr_task t = rules_task(rules, 3);
    (void)state;

    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, SILR_NO_LABEL);
    assert_int_equal(book.said[1].label, TECH);
    assert_int_equal(book.said[2].label, SPORT);
    assert_int_equal(book.said[3].label, POLITICS);
}

/* Upper and lower case of any alphabet; empty matches are no hits; (?-i) minds the case. */
static void what_a_match_is(void **state)
{
    silr_rule rules[] = {RULE(SPORT, "\xd0\xbc\xd0\xb0\xd1\x82\xd1\x87", 1), RULE(POLITICS, "x*", 1),
                         RULE(TECH, "(?-i)IT", 1), RULE(TECH, "a\\Kb", 1)};
    const char *const texts[] = {"\xd0\x9c\xd0\x90\xd0\xa2\xd0\xa7", "xx yy", "it", "IT is it",
                                 "ab ab", "broken \xff utf-8 IT"};
    const silr_corpus c = CORPUS(texts);
    const silr_task t = rules_task(rules, 4);
    (void)state;

    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, SPORT);
    assert_int_equal(book.said[1].label, POLITICS);
    assert_int_equal(book.said[2].label, SILR_NO_LABEL);
    assert_int_equal(book.said[3].label, TECH);
    assert_int_equal(book.said[4].votes, 8);
    (void)book.said[5]; /* only: no crash; the corpus replaces such bytes */
}

/* --- limits ------------------------------------------------------------------------------------ */

static int warnings;
static char warned[512];
static void hear(void *ctx, silr_log_level level, const char *text)
{
    (void)ctx;
    if (level == SILR_LOG_WARN) {
        warnings++;
        snprintf(warned, sizeof warned, "%s", text);
    }
}

/* The classic: exponential on a long run of a with a b behind. It gives up at once, says so once,
 * and the other rule still votes. */
static void runaway_patterns_give_up(void **state)
{
    enum { LONG = 200000 };
    silr_rule rules[] = {RULE(SPORT, "(a+)+$", 1), RULE(SPORT, "(a|a|aa)+$", 1), RULE(POLITICS, "b", 1)};
    char *text = malloc(LONG + 1);
    const char *texts[] = {text, "aaa", text};
    const silr_corpus c = CORPUS(texts);
    const silr_task t = rules_task(rules, 3);
    const silr_listener ear = {.line = hear};
    double start = silr_now(), took;
    (void)state;

    assert_non_null(text);
    memset(text, 'a', LONG);
    memcpy(text + LONG - 1, "b", 2);
    warnings = 0;
    silr_log_listen(&ear);
    annotate_all(&t, &c, &book);
    silr_log_listen(NULL);
    took = silr_now() - start;
    assert_int_equal(book.said[0].label, POLITICS);
    assert_int_equal(book.said[1].label, SPORT);
    assert_int_equal(book.said[2].label, POLITICS);
    assert_int_equal(warnings, 2); /* one a rule, not one a text */
    assert_non_null(strstr(warned, "gave up on 2 texts"));
    print_message("two runaway patterns on two texts of %d bytes: %.2f s\n", LONG, took);
    assert_true(took < 10);
    free(text);
}

/* What PCRE2's compiled code does not count: recursion, and ways through unrepeated groups. Found
 * by the fuzzer; without is_tame each would run for hours. */
static void uncounted_patterns_end(void **state)
{
    static const char *const patterns[] = {
        "||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||||(?R)",
        "(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)"
        "(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)(|a|a|)x",
        "(?<n>|a|a)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)"
        "(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)(?&n)x",
    };
    const char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaay x";
    silr_matcher *m = silr_matcher_new(100000);
    (void)state;

    assert_non_null(m);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const silr_rule rule = RULE(SPORT, patterns[i], 1);
        silr_pattern *p;
        assert_int_equal(silr_pattern_new(&p, &rule, "task.yaml", &err), SILR_OK);
        assert_true(silr_pattern_count(p, m, text, sizeof text - 1, true) <= 0); /* soon */
        silr_pattern_free(p);
    }
    silr_matcher_free(m);
}

static void bad_patterns_are_named(void **state)
{
    silr_rule rules[] = {RULE(SPORT, "fine", 1), {.label = 1, .pattern = (char *)"par(ty", .weight = 1, .line = 12}};
    const silr_task t = rules_task(rules, 2);
    const silr_task none = rules_task(rules, 0);
    const silr_corpus c = {0};
    (void)state;

    assert_int_equal(run_on(&t, &c, &book), SILR_EINPUT);
    says("task.yaml:12");
    says("par(ty");
    says("at character 7");
    says("parenthes");
    assert_int_equal(run_on(&none, &c, &book), SILR_EINPUT);
}

/* --- columns ----------------------------------------------------------------------------------- */

static char *known_values[] = {"sport", "politics", "tech", "unsure"};
static int known_labels[] = {SPORT, POLITICS, TECH, SILR_NO_LABEL};

static silr_task column_task(void)
{
    silr_task t = rules_task(NULL, 0);
    t.annotator.kind = SILR_ANNOTATOR_COLUMN;
    t.annotator.values = (silr_value_map){4, known_values, known_labels};
    t.annotator.column = (char *)"llm";
    return t;
}

static void columns(void **state)
{
    const char *const texts[] = {"a", "b", "c", "d", ""};
    const char *const values[] = {"tech", NULL, "unsure", "", "sport"};
    const char *const wrong[] = {"tech", "sprot", NULL, NULL, NULL};
    silr_corpus c = CORPUS(texts);
    const silr_task t = column_task();
    (void)state;

    c.column = values;
    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, TECH);
    assert_true(isnan(book.said[0].confidence));
    assert_string_equal(book.said[0].raw, "tech");
    for (int i = 1; i < 5; i++)
        assert_int_equal(book.said[i].label, SILR_NO_LABEL);
    assert_string_equal(book.reason[1], "no value");
    assert_string_equal(book.reason[2], "the value means none");
    assert_string_equal(book.reason[4], "empty text");
    c.column = wrong;
    assert_int_equal(run_on(&t, &c, &book), SILR_EINPUT);
    says("document one: column llm holds \"sprot\"");
    says("sport, politics, tech");
}

/* Log-odds o are kept as normalised log-probabilities, so that their difference is o again and
 * exp of them adds up to 1, however large o is. */
static void log_odds_come_with_labels(void **state)
{
    const char *const texts[] = {"a", "b", "c", "d", ""};
    const char *const values[] = {"sport", "sport", NULL, "politics", "sport"};
    const char *const odds[] = {"1.5", "-2", "3", NULL, "nonsense"};
    const char *const wild[] = {"1e308", "-700", "0", "-0.25", NULL};
    const double is[] = {1e30, -700, 0, -0.25};
    silr_corpus c = CORPUS(texts);
    silr_task t = column_task();
    (void)state;

    t.n_classes = 2;
    t.annotator.log_odds = (char *)"odds";
    c.column = values;
    c.odds = odds;
    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, SPORT);
    assert_int_equal(book.said[0].basis, SILR_BASIS_LOGPROBS);
    assert_true(fabs((double)book.said[0].confidence - silr_sigmoid(1.5)) < 1e-6);
    assert_true(fabs((double)(book.logp[0][0] - book.logp[0][1]) - 1.5) < 1e-6);
    assert_int_equal(book.said[1].label, SPORT); /* the column's word, though they lean elsewhere */
    assert_true(fabs((double)book.said[1].confidence - silr_sigmoid(-2)) < 1e-6);
    assert_int_equal(book.said[2].label, SILR_NO_LABEL); /* no label: nothing to be sure of */
    assert_null(book.said[2].logp);
    assert_int_equal(book.said[3].label, POLITICS); /* a label without log-odds is one all the same */
    assert_null(book.said[3].logp);
    assert_int_equal(book.said[3].basis, SILR_BASIS_NONE);
    assert_string_equal(book.reason[4], "empty text");

    t.annotator.column = NULL;
    c.odds = wild;
    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, SPORT);
    assert_int_equal(book.said[1].label, POLITICS);
    assert_int_equal(book.said[2].label, SILR_NO_LABEL);
    assert_string_equal(book.reason[2], "the log-odds are 0");
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            continue;
        double sum = exp((double)book.logp[i][0]) + exp((double)book.logp[i][1]);
        assert_true(fabs(sum - 1) < 1e-6);
        assert_true(fabs((double)book.logp[i][0] - (double)book.logp[i][1] - is[i]) <= 1e-6 * fabs(is[i]));
        assert_true(isfinite(book.said[i].confidence) && book.said[i].confidence >= 0.5f);
    }
}

static void bad_log_odds_are_named(void **state)
{
    const char *const texts[] = {"a", "b"};
    const char *const bad[] = {"nan", "inf", "-1e999", "1,5", "high", "0x", "true"};
    silr_task t = column_task();
    (void)state;

    t.annotator.column = NULL;
    t.annotator.log_odds = (char *)"odds";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const odds[] = {"-1.5", bad[i]};
        silr_corpus c = CORPUS(texts);
        char want[80];
        c.odds = odds;
        t.n_classes = 2;
        assert_int_equal(run_on(&t, &c, &book), SILR_EINPUT);
        snprintf(want, sizeof want, "document one: column odds holds \"%s\"", bad[i]);
        says(want);
        says("log P(sport) - log P(politics)");
        t.n_classes = 3;
        assert_int_equal(run_on(&t, &c, &book), SILR_EINPUT);
        says("there are 3");
    }
}

/* --- lexicons ---------------------------------------------------------------------------------- */

static char lexicon_path[64];
static void write_lexicon(const char *text)
{
    snprintf(lexicon_path, sizeof lexicon_path, "/tmp/silr-lexicon-XXXXXX");
    int fd = mkstemp(lexicon_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void lexicons(void **state)
{
    silr_rule rules[] = {RULE(1, "refund", 1)};
    const char *const texts[] = {
        "Good, GOOD and don\xe2\x80\x99t",  /* 1 + 1 - 0.5: above the margin */
        "bad",                              /* -2 */
        "goodish; g-ood 'good",             /* 1: not above the margin */
        "good good refund",                 /* one vote each: a tie */
        "\xc3\x84RGER",                     /* lowered beyond ASCII: -3 */
    };
    const silr_corpus c = CORPUS(texts);
    silr_task t = rules_task(NULL, 0);
    (void)state;

    write_lexicon("\xef\xbb\xbf# a comment\r\ngood\t1\r\n\nBAD\t-2\t0.3\tx\ndon't\t-.5\n\xc3\xa4rger\t-3\n:-)\t2\n"
                  "good\t1.0");
    t.n_classes = 2;
    t.annotator.lexicon = lexicon_path;
    t.annotator.lexicon_margin = 1;
    annotate_all(&t, &c, &book);
    assert_int_equal(book.said[0].label, 0);
    assert_int_equal(book.said[1].label, 1);
    assert_int_equal(book.said[1].votes, 2);
    assert_int_equal(book.said[2].label, SILR_NO_LABEL);
    assert_int_equal(book.said[3].label, 0);
    assert_int_equal(book.said[4].label, 1);
    t.annotator.rules = rules;
    t.annotator.n_rules = 1;
    annotate_all(&t, &c, &book);
    assert_string_equal(book.reason[3], "a tie");
    t.n_classes = 3;
    assert_int_equal(run_on(&t, &c, &book), SILR_EINPUT);
    says("two classes");
    unlink(lexicon_path);
    t.n_classes = 2;
    assert_int_equal(run_on(&t, &c, &book), SILR_EINPUT);
    says("annotator.lexicon");
}

static void bad_lexicons_are_named(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"good\t1\nbad -1\n", "words.tsv:2: expected a word, a tab and a score"},
        {"good\t1\nbad\tminus\n", "words.tsv:2: \"minus\" is not a score"},
        {"good\tnan\n", "words.tsv:1"},
        {"good\t\n", "words.tsv:1"},
        {"\t1\n", "words.tsv:1"},
        {"good\t1\n\nGOOD\t2\n", "words.tsv:3: \"good\" has another score on line 1"},
        {"good\t11111111111111111111111111111111111111111111111111\n", "words.tsv:1"},
        {"# nothing\n", "holds no words"},
    };
    silr_lexicon *l;
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(silr_lexicon_parse(&l, cases[i].text, strlen(cases[i].text), "words.tsv", &err),
                         SILR_EINPUT);
        assert_null(l);
        says(cases[i].says);
    }
}

/* Many words: the table grows and loses none. */
static void a_large_lexicon(void **state)
{
    silr_buf file = {0}, word = {0};
    silr_lexicon *l;
    (void)state;

    for (int i = 0; i < 5000; i++)
        silr_buf_printf(&file, "w%d\t%d\n", i, i);
    assert_int_equal(silr_lexicon_parse(&l, file.data, file.len, "big", &err), SILR_OK);
    for (int i = 0; i < 5000; i++) {
        char text[32];
        snprintf(text, sizeof text, "W%d, w%dx.", i, i);
        assert_true(fabs(silr_lexicon_score(l, text, strlen(text), &word) - i) < 1e-9);
    }
    silr_lexicon_free(l);
    silr_buf_clear(&file);
    silr_buf_clear(&word);
}

/* --- the table --------------------------------------------------------------------------------- */

static void the_table_of_rules(void **state)
{
    silr_rule rules[] = {RULE(SPORT, "match", 1), RULE(SPORT, "cup", 1), RULE(POLITICS, "party", 2)};
    const char *const texts[] = {"match cup", "match party", "cup", "none", "match cup party"};
    const int truth[] = {SPORT, POLITICS, SILR_NO_LABEL, TECH, SPORT};
    const uint32_t docs[] = {0, 1, 2, 3, 4};
    const silr_corpus c = CORPUS(texts);
    silr_task t = rules_task(rules, 3);
    silr_rule_table table;
    (void)state;

    rules[1].name = (char *)"the cup";
    assert_int_equal(silr_rule_table_make(&table, &t, &c, docs, 5, truth, &err), SILR_OK);
    assert_int_equal(table.n, 3);
    assert_int_equal(table.documents, 5);
    assert_int_equal(table.covered, 3);    /* not "none"; not the last, 2 : 2 */
    assert_int_equal(table.conflicted, 2);
    assert_int_equal(table.tied, 1);
    assert_string_equal(table.rows[0].name, "match");
    assert_string_equal(table.rows[1].name, "the cup");
    assert_int_equal(table.rows[0].fired, 3);
    assert_int_equal(table.rows[0].overlaps, 3);
    assert_int_equal(table.rows[0].conflicts, 2);
    assert_int_equal(table.rows[0].labelled, 3);
    assert_int_equal(table.rows[0].right, 2);
    assert_int_equal(table.rows[1].fired, 3);
    assert_int_equal(table.rows[1].overlaps, 2);
    assert_int_equal(table.rows[1].conflicts, 1);
    assert_int_equal(table.rows[2].label, POLITICS);
    assert_int_equal(table.rows[2].right, 1);
    silr_free(table.rows);
    assert_int_equal(silr_rule_table_make(&table, &t, &c, docs, 5, NULL, &err), SILR_OK);
    assert_int_equal(table.rows[0].labelled, 0);
    silr_free(table.rows);
}

static void the_table_of_a_column(void **state)
{
    const char *const texts[] = {"a", "b", "c"};
    const char *const values[] = {"tech", NULL, "sport"};
    const int truth[] = {TECH, SPORT, TECH};
    const uint32_t docs[] = {0, 1, 2};
    silr_corpus c = CORPUS(texts);
    silr_task t = column_task();
    silr_rule_table table;
    (void)state;

    c.column = values;
    assert_int_equal(silr_rule_table_make(&table, &t, &c, docs, 3, truth, &err), SILR_OK);
    assert_int_equal(table.n, 1);
    assert_string_equal(table.rows[0].name, "llm");
    assert_int_equal(table.rows[0].fired, 2);
    assert_int_equal(table.rows[0].labelled, 2);
    assert_int_equal(table.rows[0].right, 1);
    silr_free(table.rows);
}

/* --- threads, interruption, memory -------------------------------------------------------------- */

static char many_text[4000][64];
static const char *many[4000];
static silr_corpus many_corpus(void)
{
    static const char *const words[] = {"match", "cup", "party", "minister", "phone", "other"};
    silr_rng r;

    silr_rng_init(&r, 3, SILR_RNG_TEST, 0, 0);
    for (int i = 0; i < 4000; i++) {
        snprintf(many_text[i], sizeof many_text[i], "%s %s %s %s", words[silr_rng_below(&r, 6)],
                 words[silr_rng_below(&r, 6)], words[silr_rng_below(&r, 6)], words[silr_rng_below(&r, 6)]);
        many[i] = many_text[i];
    }
    return (silr_corpus){.n = 4000, .text = many};
}
static silr_rule many_rules[] = {RULE(SPORT, "\\b(match|cup)\\b", 1), RULE(POLITICS, "party|minister", 1.5),
                                 RULE(TECH, "ph[aeiou]ne", 1)};

static void threads_change_nothing(void **state)
{
    const silr_corpus c = many_corpus();
    silr_task t = rules_task(many_rules, 3);
    (void)state;

    annotate_all(&t, &c, &book);
    t.threads = 3;
    annotate_all(&t, &c, &other_book);
    for (size_t i = 0; i < c.n; i++) {
        assert_int_equal(book.said[i].label, other_book.said[i].label);
        assert_int_equal(book.said[i].votes, other_book.said[i].votes);
        assert_memory_equal(&book.said[i].confidence, &other_book.said[i].confidence, sizeof(float));
        assert_string_equal(book.reason[i], other_book.reason[i]);
    }
}

/* The sink's failure comes back as it is; an interruption as SILR_ECANCEL. */
static void stops_when_told(void **state)
{
    const silr_corpus c = many_corpus();
    const silr_task t = rules_task(many_rules, 3);
    silr_annotator *a;
    (void)state;

    assert_int_equal(silr_annotator_new(&a, &t, NULL, &err), SILR_OK);
    memset(&book, 0, sizeof book);
    book.stop_at = 1500;
    assert_int_equal(a->annotate(a, &c, all_docs, c.n, write_down, &book, &err), SILR_EIO);
    assert_int_equal(book.n, 1500);
    memset(&book, 0, sizeof book);
    silr_cancel();
    assert_int_equal(a->annotate(a, &c, all_docs, c.n, write_down, &book, &err), SILR_ECANCEL);
    silr_cancel_reset();
    assert_true(book.n < c.n);
    silr_annotator_free(a);
}

static void each_allocation_fails_in_turn(void **state)
{
    silr_rule rules[] = {RULE(0, "\\b(match|cup)\\b", 1), RULE(1, "(a+)+$", 1)};
    char aaa[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
    const char *const texts[] = {"a match", aaa, "bad"};
    const uint32_t docs[] = {0, 1, 2};
    const silr_corpus c = CORPUS(texts);
    silr_task t = rules_task(rules, 2);
    silr_status st = SILR_ENOMEM;
    (void)state;

    write_lexicon("good\t1\nbad\t-1\n");
    t.n_classes = 2;
    t.annotator.lexicon = lexicon_path;
    t.annotator.match_limit = 10000;
    for (uint64_t n = 1; st != SILR_OK || n < 40; n++) {
        silr_rule_table table;
        assert_true(n < 2000);
        silr_mem_fail_at(n, false);
        st = silr_rule_table_make(&table, &t, &c, docs, 3, NULL, &err);
        silr_mem_fail_at(0, false);
        if (st == SILR_OK)
            silr_free(table.rows);
        else
            assert_int_equal(st, SILR_ENOMEM);
        silr_mem_fail_at(n, false);
        if (run_on(&t, &c, &book) != SILR_OK)
            assert_int_equal(err.status, SILR_ENOMEM);
        silr_mem_fail_at(0, false);
    }
    unlink(lexicon_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_hits_win),
        cmocka_unit_test(weights),
        cmocka_unit_test(what_a_match_is),
        cmocka_unit_test(runaway_patterns_give_up),
        cmocka_unit_test(uncounted_patterns_end),
        cmocka_unit_test(bad_patterns_are_named),
        cmocka_unit_test(columns),
        cmocka_unit_test(log_odds_come_with_labels),
        cmocka_unit_test(bad_log_odds_are_named),
        cmocka_unit_test(lexicons),
        cmocka_unit_test(bad_lexicons_are_named),
        cmocka_unit_test(a_large_lexicon),
        cmocka_unit_test(the_table_of_rules),
        cmocka_unit_test(the_table_of_a_column),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(each_allocation_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
