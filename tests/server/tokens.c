/* tokens.c - the logprobs of an answer.
 *
 * Where the first token of a class is said, the alternatives are the first tokens of the other
 * classes, each in three forms as a model has them (" name", "name", "Name"), and junk. Further on
 * they are the ways in which the classes that began alike go on; where one of those has ended, the
 * end of the answer is among them. Inside JSON the grammar forbids the other forms and the junk,
 * which then shows up with -9999, as it does in life. */
#include "classes.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FORMS = 3, JUNK = 24 };
static const double form_share[FORMS] = {.82, .13, .05}; /* name, " name", Name */

static const char *const junk[JUNK] = {
    "The", " The",     "I",     "\n",   "Label",    " label", "Answer", "**",
    "<",   "Category", "Class", "None", "\xe2\x80", "#",      "Based",  "Sure",
    "It",  " unknown", "This",  "1",    "Text",     "A",      "-",      "\"",
};

struct candidate {
    char s[TOKEN_BYTES + 16];
    size_t len;
    double p;
};

struct candidates {
    struct candidate c[CLASSES_MOST * FORMS + JUNK];
    size_t n;
};

/* --- saying ----------------------------------------------------------------------------- */

static void add_token(struct said *s, const char *bytes, size_t len, int depth)
{
    must(silr_grow(&s->token, &s->cap, s->n + 1, sizeof *s->token) ? s->token : NULL);
    s->token[s->n++] = (struct token){(uint32_t)s->text.len, (uint32_t)len, depth};
    silr_buf_add(&s->text, bytes, len);
}

void said_words(struct said *s, const char *words, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = token_length(words + at, len - at);
        add_token(s, words + at, n, -1);
        at += n;
    }
}

void said_token(struct said *s, const char *token)
{
    add_token(s, token, strlen(token), -1);
}

void said_class(struct said *s)
{
    const struct class_tokens *c = class_tokens(s->k);

    for (unsigned d = 0; d < c->n; d++)
        add_token(s, c->name + c->at[d], (size_t)(c->at[d + 1] - c->at[d]), (int)d);
    if (s->json)
        add_token(s, "\"}", 2, (int)c->n);
}

void said_cut(struct said *s, size_t tokens)
{
    if (tokens >= s->n)
        return;
    s->text.len = s->token[tokens].at;
    s->text.data[s->text.len] = '\0';
    s->n = tokens;
}

void said_clear(struct said *s)
{
    silr_buf_clear(&s->text);
    silr_free(s->token);
    *s = (struct said){0};
}

/* --- alternatives ----------------------------------------------------------------------- */

/* Adds p to the candidate with these bytes. */
static void add_candidate(struct candidates *all, const char *before, const char *s, size_t len,
                          double p)
{
    struct candidate *c = &all->c[all->n];
    size_t pre = strlen(before);

    memcpy(c->s, before, pre);
    memcpy(c->s + pre, s, len);
    c->len = pre + len;
    for (size_t i = 0; i < all->n; i++)
        if (all->c[i].len == c->len && memcmp(all->c[i].s, c->s, c->len) == 0) {
            all->c[i].p += p;
            return;
        }
    c->p = p;
    all->n++;
}

/* name, " name", "Name"; the last only where it is something else. */
static void add_forms(struct candidates *all, const char *s, size_t len, double p)
{
    char upper[TOKEN_BYTES];
    bool lower = s[0] >= 'a' && s[0] <= 'z';

    memcpy(upper, s, len);
    if (lower)
        upper[0] = (char)(s[0] - 'a' + 'A');
    add_candidate(all, "", s, len, p * (form_share[0] + (lower ? 0 : form_share[2])));
    add_candidate(all, " ", s, len, p * form_share[1]);
    if (lower)
        add_candidate(all, "", upper, len, p * form_share[2]);
}

/* Junk that weighs `mass` in all, a half less each, more or less; returns what it weighs. It is
 * known by its place, so that nothing said is counted as junk. */
static double junk_mass(uint64_t hash, double mass, double p[JUNK])
{
    double total = 0, half = mass / 2;

    for (int i = 0; i < JUNK; i++) {
        p[i] = half * (.6 + .8 * faults_chance(hash, (uint64_t)i, 0x6a756e6b));
        total += p[i];
        half /= 2;
    }
    return total;
}

static void add_junk(struct candidates *all, const double p[JUNK])
{
    size_t n = all->n;

    for (int i = 0; i < JUNK; i++) {
        size_t len = strlen(junk[i]);
        bool taken = false;
        for (size_t j = 0; j < n && !taken; j++)
            taken = all->c[j].len == len && memcmp(all->c[j].s, junk[i], len) == 0;
        if (taken)
            continue;
        all->c[all->n] = (struct candidate){.len = len, .p = p[i]};
        memcpy(all->c[all->n++].s, junk[i], len);
    }
}

/* The ways to go on after the first d tokens of class k. */
static void class_candidates(struct candidates *all, const struct said *s, unsigned d, double mass)
{
    double total = 0, sum[CLASSES_MOST] = {0};
    int K = classes_count();

    for (int j = 0; j < K; j++)
        if (class_shares(j, s->k, d)) {
            sum[class_tokens(j)->group[d]] += s->w[j];
            total += s->w[j];
        }
    for (int j = 0; j < K; j++) {
        const struct class_tokens *c = class_tokens(j);
        double p = sum[j] / total * mass;
        if (sum[j] <= 0)
            continue;
        if (d == c->n)
            add_candidate(all, s->json ? "\"}" : "<|im_end|>", "", 0, p);
        else if (d == 0 && !s->json)
            add_forms(all, c->name, c->at[1], p);
        else
            add_candidate(all, "", c->name + c->at[d], (size_t)(c->at[d + 1] - c->at[d]), p);
    }
}

static void candidates_of(struct candidates *all, const struct said *s, size_t i)
{
    const struct token *t = &s->token[i];
    const double mass = t->depth < 0 ? 2e-4 : s->json ? 0 : t->depth == 0 ? .02 : .002;
    double p[JUNK], left = 1 - junk_mass(s->hash + i, mass, p);

    all->n = 0;
    if (t->depth >= 0)
        class_candidates(all, s, (unsigned)t->depth, left);
    else
        add_candidate(all, "", s->text.data + t->at, t->len, left);
    add_junk(all, p);
}

static int by_probability(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->p != y->p)
        return x->p < y->p ? 1 : -1;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(x->s, y->s, x->len);
}

/* --- writing ---------------------------------------------------------------------------- */

/* One token may be a piece of a character; then its bytes are written as \xHH. */
static bool whole_characters(const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t n = c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        if (n == 0 || i + n > len)
            return false;
        for (size_t j = 1; j < n; j++)
            if (((unsigned char)s[i + j] & 0xc0) != 0x80)
                return false;
        i += n;
    }
    return true;
}

/* Seven digits after the point, without printf, which would take most of the time. */
static void write_logprob(silr_buf *b, double p)
{
    char s[24];
    size_t at = sizeof s;
    double lp = p > 0 ? log(p) : -9999;
    uint64_t v = (uint64_t)llround(-lp * 1e7);

    for (int i = 0; i < 8 || v > 0; i++) {
        if (i == 7)
            s[--at] = '.';
        s[--at] = (char)('0' + v % 10);
        v /= 10;
    }
    if (lp < 0)
        s[--at] = '-';
    silr_buf_add(b, s + at, sizeof s - at);
}

static void write_token(silr_buf *b, const char *s, size_t len, double p)
{
    silr_buf_puts(b, "{\"token\":");
    if (whole_characters(s, len)) {
        silr_buf_json(b, s, len);
    } else {
        silr_buf_putc(b, '"');
        for (size_t i = 0; i < len; i++)
            silr_buf_printf(b, "\\\\x%02x", (unsigned char)s[i]);
        silr_buf_putc(b, '"');
    }
    silr_buf_puts(b, ",\"logprob\":");
    write_logprob(b, p);
    silr_buf_puts(b, ",\"bytes\":[");
    for (size_t i = 0; i < len; i++) {
        unsigned v = (unsigned char)s[i];
        if (i)
            silr_buf_putc(b, ',');
        if (v >= 100)
            silr_buf_putc(b, (char)('0' + v / 100));
        if (v >= 10)
            silr_buf_putc(b, (char)('0' + v / 10 % 10));
        silr_buf_putc(b, (char)('0' + v % 10));
    }
    silr_buf_putc(b, ']');
}

static double probability(const struct candidates *all, const char *s, size_t len)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->c[i].len == len && memcmp(all->c[i].s, s, len) == 0)
            return all->c[i].p;
    return 0;
}

void logprobs_write(silr_buf *b, const struct said *s, size_t top)
{
    static struct candidates all; /* 50 kB; there is one thread */

    silr_buf_putc(b, '[');
    for (size_t i = 0; i < s->n; i++) {
        const char *text = s->text.data + s->token[i].at;
        candidates_of(&all, s, i);
        if (i)
            silr_buf_putc(b, ',');
        write_token(b, text, s->token[i].len, probability(&all, text, s->token[i].len));
        silr_buf_puts(b, ",\"top_logprobs\":[");
        if (top > 0)
            qsort(all.c, all.n, sizeof *all.c, by_probability);
        for (size_t j = 0; j < top && j < all.n; j++) {
            if (j)
                silr_buf_putc(b, ',');
            write_token(b, all.c[j].s, all.c[j].len, all.c[j].p);
            silr_buf_putc(b, '}');
        }
        silr_buf_puts(b, "]}");
    }
    silr_buf_putc(b, ']');
}
