/* tokens.c - how sure the model was: from log-probabilities of tokens to those of classes.
 *
 * The answer is a name that the model wrote token by token. Where it begins, every alternative token
 * is the beginning of one class's name, of several, or of none. The mass of those that can only be
 * class k goes to k, in whatever variant (" positive", "Pos", "positive"). Where the token that was
 * chosen could still become several classes ("very" of "very good" and "very bad"), the walk goes on
 * to the next token within that mass. Another token that could become several is open. If it is the
 * chosen one written otherwise (" Very"), it is shared out as what the walk found behind that; else
 * as what was seen of its classes. In the end
 *
 *     log p_k = log mass_k - log sum_j mass_j
 *
 * A class that is not among the alternatives where its name parts from what was chosen has at most the
 * least of their probabilities and gets that: its log-odds are bounded, not unknown. */
#include "chat/words.h"
#include <math.h>
#include <string.h>

enum { WALK = 24 /* tokens of a name */, OPEN = 64 /* tokens that could become several classes */ };

typedef struct {
    size_t K;
    char name[64][WORDS_MAX]; /* lower case */
    size_t places;          /* walked */
    double seen[WALK][64];  /* mass of the tokens of one class */
    struct {
        double mass;
        uint64_t classes;
        int whole;          /* the class whose whole name it is; -1: none's */
        bool chosen;        /* the chosen token, written otherwise */
        size_t place;
    } open[OPEN];
    size_t n_open;
    double bound[64];       /* of a class, where it parted from the chosen; < 0: nothing is known */
    bool parted[64];
    double mass[64];        /* in the end */
    uint64_t on;            /* classes that what was chosen can still become */
} walk;

/* --- where the name stands ----------------------------------------------------------------------- */

static bool is_letter(const char *s, size_t len, size_t i)
{
    unsigned char c = i < len ? (unsigned char)s[i] : ' ';
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

/* Where s names the class between `from` and `to`, as a word of its own if `alone`; SIZE_MAX: nowhere. */
static size_t find_name(const char *name, const char *s, size_t len, size_t from, size_t to, bool alone)
{
    size_t n = strlen(name);
    char part[WORDS_MAX * 2];

    for (size_t i = from; i < to; i++) {
        size_t take = len - i < n + 8 ? len - i : n + 8; /* cases differ in length at times */
        if (((unsigned char)s[i] & 0xc0) == 0x80 || (alone && i > 0 && is_letter(s, len, i - 1) && is_letter(s, len, i)))
            continue;
        if (silr_words_lower(part, sizeof part, s + i, take) != SIZE_MAX &&
            strncmp(part, name, n) == 0 && !(alone && is_letter(s, len, i + n) && is_letter(s, len, i + n - 1)))
            return i;
    }
    return SIZE_MAX;
}

/* Where in content the answer's name begins: behind the key of a JSON answer; else in the first line,
 * else in the last. */
static size_t begins_at(const char *name, const silr_choice *c)
{
    static const char key[] = "\"label\"";
    size_t len, from = 0, at;
    const char *s = silr_words_thought_of(c->content, c->len, &len), *p;

    if (!s || !name[0])
        return SIZE_MAX;
    if (memchr(s, '{', len) && (p = memmem(s, len, key, sizeof key - 1)))
        from = (size_t)(p - s) + sizeof key - 1;
    for (int alone = 1; alone >= 0; alone--) {
        const char *first, *last;
        size_t lead = from;
        while (lead < len && (unsigned char)s[lead] <= ' ')
            lead++;
        first = memchr(s + lead, '\n', len - lead);
        at = find_name(name, s, len, lead, first ? (size_t)(first - s) : len, alone);
        for (size_t end = len; at == SIZE_MAX && first && end > 0; end = (size_t)(last - s)) {
            last = memrchr(s, '\n', end);
            at = last ? find_name(name, s, len, (size_t)(last - s) + 1, end, alone) : SIZE_MAX;
            if (!last || last <= first)
                break;
        }
        if (at != SIZE_MAX)
            return (size_t)(s - c->content) + at;
    }
    return SIZE_MAX;
}

/* --- tokens as text ------------------------------------------------------------------------------ */

/* What tokenizers write for a space: G with a dot, a lower block. */
static size_t space_mark(const char *s, size_t len)
{
    return len >= 2 && memcmp(s, "\xc4\xa0", 2) == 0 ? 2 : len >= 3 && memcmp(s, "\xe2\x96\x81", 3) == 0 ? 3 : 0;
}

/* A token as text, the marks for a space replaced if `marks`. SIZE_MAX: it is longer than any name. */
static size_t token_text(char out[WORDS_MAX], const silr_token *t, bool marks)
{
    size_t n = 0;

    for (size_t i = 0; i < t->len && n < WORDS_MAX;) {
        size_t mark = marks ? space_mark(t->token + i, t->len - i) : 0;
        out[n++] = mark > 0 ? ' ' : t->token[i];
        i += mark > 0 ? mark : 1;
    }
    return n < WORDS_MAX ? n : SIZE_MAX;
}

/* Where s stands in the text of all tokens, which may have thoughts before it and signs of the end
 * behind it; SIZE_MAX: nowhere. Where only the first tokens are told, s goes on. */
static size_t find_last(const silr_buf *all, const char *s, size_t len)
{
    if (len == 0 || all->len == 0)
        return SIZE_MAX;
    if (all->len < len)
        return memcmp(all->data, s, all->len) == 0 ? 0 : SIZE_MAX;
    for (size_t i = all->len - len + 1; i-- > 0;)
        if (all->data[i] == *s && memcmp(all->data + i, s, len) == 0)
            return i;
    return SIZE_MAX;
}

/* The token in which byte `at` of content lies, and how many of its bytes come before. false: none. */
static bool find_token(const silr_choice *c, size_t at, size_t *place, size_t *skip, bool *marks)
{
    char text[WORDS_MAX];
    size_t lead = 0, found = SIZE_MAX, n;
    silr_buf all = {0};

    while (lead < at && (unsigned char)c->content[lead] <= ' ')
        lead++; /* tokens may lack it, or the content */
    for (int pass = 0; pass < 2 && found == SIZE_MAX; pass++) {
        *marks = pass > 0;
        silr_buf_reset(&all);
        for (size_t i = 0; i < c->n_places; i++)
            if ((n = token_text(text, &c->place[i].token, *marks)) != SIZE_MAX)
                silr_buf_add(&all, text, n);
        found = all.failed ? SIZE_MAX : find_last(&all, c->content + lead, c->len - lead);
    }
    silr_buf_clear(&all);
    if (found == SIZE_MAX)
        return false;
    *skip = found + at - lead;
    for (*place = 0; *place < c->n_places; ++*place) {
        if ((n = token_text(text, &c->place[*place].token, *marks)) == SIZE_MAX)
            continue;
        if (*skip < n)
            return true;
        *skip -= n;
    }
    return false;
}

/* Space, quotes and marks before a name. */
static void strip(const char **s, size_t *len)
{
    while (*len > 0) {
        size_t n = strchr(" \t\r\n\"'`*_", **s) ? 1 : space_mark(*s, *len);
        if (n == 0)
            return;
        *s += n;
        *len -= n;
    }
}

/* Bytes of s that are whole characters: all but a piece of one at the end. */
static size_t whole_characters(const char *s, size_t len)
{
    size_t back = 1;

    while (back < 4 && back < len && ((unsigned char)s[len - back] & 0xc0) == 0x80)
        back++;
    if (len > 0 && (unsigned char)s[len - back] >= 0xc0) {
        unsigned char c = (unsigned char)s[len - back];
        if (back < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u))
            return len - back;
    }
    return len;
}

/* What was written and how it could go on: both raw, as a character may be cut in two. */
typedef struct {
    char raw[WORDS_MAX];
    size_t len;
    bool marks;
    char lead[WORDS_MAX]; /* what the chosen token has before the name, as its alternatives may */
    size_t n_lead;
} written;

/* What was written with a token behind it, in lower case. SIZE_MAX: nothing is left of the token, or
 * it is too long; else the bytes of raw text, which are in `raw`. */
static size_t joined(char out[WORDS_MAX * 2], char raw[WORDS_MAX], const written *so_far, const silr_token *t)
{
    char text[WORDS_MAX];
    const char *s = text;
    size_t len = token_text(text, t, so_far->marks), whole, n;

    if (len == SIZE_MAX)
        return SIZE_MAX;
    if (so_far->n_lead > 0 && len > so_far->n_lead && memcmp(s, so_far->lead, so_far->n_lead) == 0) {
        s += so_far->n_lead;
        len -= so_far->n_lead;
    } else if (so_far->len == 0) {
        strip(&s, &len);
    }
    if (len == 0 || so_far->len + len >= WORDS_MAX)
        return SIZE_MAX;
    memcpy(raw, so_far->raw, so_far->len);
    memcpy(raw + so_far->len, s, len);
    len += so_far->len;
    whole = whole_characters(raw, len);
    if ((n = silr_words_lower(out, WORDS_MAX, raw, whole)) == SIZE_MAX)
        return SIZE_MAX;
    memcpy(out + n, raw + whole, len - whole);
    out[n + len - whole] = '\0';
    return len;
}

/* --- the walk ------------------------------------------------------------------------------------ */

/* The classes whose names the text can become; else those that it has wholly, and something behind
 * them: the longest, as "very good" is not "very". *whole: whose name it is to the letter; -1: none's. */
static uint64_t fitting(const walk *w, const char *text, int *whole)
{
    size_t len = strlen(text), longest = 0;
    uint64_t becomes = 0, has = 0;

    *whole = -1;
    for (size_t k = 0; k < w->K; k++) {
        size_t name = strlen(w->name[k]);
        if (name == 0 || w->parted[k] || strncmp(w->name[k], text, len < name ? len : name) != 0)
            continue;
        if (len <= name)
            becomes |= (uint64_t)1 << k;
        else if (name >= longest && !(is_letter(text, len, name) && is_letter(text, len, name - 1))) {
            has = (name > longest ? 0 : has) | (uint64_t)1 << k;
            longest = name;
        }
        if (len == name)
            *whole = (int)k;
    }
    return becomes ? becomes : has;
}

static void count(walk *w, uint64_t set, int whole, bool chosen, double mass)
{
    if (set != 0 && (set & (set - 1)) == 0) {
        w->seen[w->places][__builtin_ctzll(set)] += mass;
    } else if (set != 0 && w->n_open < OPEN) {
        w->open[w->n_open].mass = mass;
        w->open[w->n_open].whole = whole;
        w->open[w->n_open].chosen = chosen;
        w->open[w->n_open].place = w->places;
        w->open[w->n_open++].classes = set;
    }
}

/* One place: the mass of its tokens, given what was written before. true: go on to the next. */
static bool step(walk *w, const silr_token_place *p, written *so_far, double *before)
{
    char chosen[WORDS_MAX * 2], text[WORDS_MAX * 2], raw[WORDS_MAX], unused[WORDS_MAX];
    size_t len = joined(chosen, raw, so_far, &p->token);
    double least = p->token.logprob;
    int whole;
    uint64_t on;

    w->on = 0;
    if (len == SIZE_MAX)
        return false;
    w->on = on = fitting(w, chosen, &whole);
    if ((on & (on - 1)) == 0)
        count(w, on, whole, true, exp(*before + p->token.logprob));
    for (size_t i = 0; i < p->n_top; i++) {
        const silr_token *t = &p->top[i];
        bool same = t->len == p->token.len && memcmp(t->token, p->token.token, t->len) == 0;
        uint64_t set;
        least = fmin(least, t->logprob);
        if (same || joined(text, unused, so_far, t) == SIZE_MAX)
            continue;
        set = fitting(w, text, &whole);
        count(w, set, whole, strcmp(text, chosen) == 0, exp(*before + t->logprob));
    }
    for (size_t k = 0; k < w->K; k++)
        if (!w->parted[k] && !(on >> k & 1)) {
            w->parted[k] = true;
            w->bound[k] = p->n_top > 0 ? exp(*before + least) : -1;
        }
    w->places++;
    *before += p->token.logprob;
    memcpy(so_far->raw, raw, len);
    so_far->len = len;
    so_far->n_lead = 0;
    return (on & (on - 1)) != 0;
}

/* --- what is left open --------------------------------------------------------------------------- */

/* The next open token of a place, the most definite first. */
static size_t pick(const walk *w, size_t place)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < w->n_open; i++)
        if (w->open[i].classes != 0 && w->open[i].place == place &&
            (best == SIZE_MAX || __builtin_popcountll(w->open[i].classes) <
                                     __builtin_popcountll(w->open[best].classes)))
            best = i;
    return best;
}

/* Shares a mass out among classes as `as` says; where that has none of a class, as little as `least`. */
static void share(walk *w, uint64_t classes, double mass, const double as[64], const double least[64])
{
    double sum = 0;

    for (uint64_t set = classes; set; set &= set - 1)
        sum += fmax(as[__builtin_ctzll(set)], least ? least[__builtin_ctzll(set)] : 0);
    for (uint64_t set = classes; set && sum > 0; set &= set - 1) {
        int k = __builtin_ctzll(set);
        w->mass[k] += mass * fmax(as[k], least ? least[k] : 0) / sum;
    }
}

/* A token that is the whole name of a class which has no other, as all the rest of its classes have,
 * is that class: "aa" beside "aab" and "aac". */
static bool is_whole(const walk *w, uint64_t classes, int whole, const double own[64])
{
    bool others = whole >= 0 && !(own[whole] > 0);

    for (uint64_t set = classes; set && others; set &= set - 1)
        others = __builtin_ctzll(set) == whole || w->mass[__builtin_ctzll(set)] > 0;
    return others;
}

/* From the last place to the first, as each builds on those behind it. */
static void resolve(walk *w, const double least[64])
{
    double behind[64], own[64];

    for (size_t d = w->places; d-- > 0;) {
        double found = 0;
        memcpy(behind, w->mass, sizeof behind);
        for (size_t k = 0; k < w->K; k++) {
            w->mass[k] += w->seen[d][k];
            found += behind[k];
        }
        memcpy(own, w->mass, sizeof own);
        for (size_t i; (i = pick(w, d)) != SIZE_MAX; w->open[i].classes = 0) {
            uint64_t set = w->open[i].classes;
            if (w->open[i].chosen && found > 0)
                share(w, set, w->open[i].mass, behind, NULL);
            else if (is_whole(w, set, w->open[i].whole, own))
                w->mass[w->open[i].whole] += w->open[i].mass;
            else
                share(w, set, w->open[i].mass, w->mass, least);
        }
    }
}

/* The mass of every class; false: the walk did not come to the class that was said. */
static bool settle(walk *w, int label)
{
    double sum = 0, least[64] = {0};

    if (w->on != (uint64_t)1 << label)
        return false;

    for (size_t d = 0; d < w->places; d++)
        for (size_t k = 0; k < w->K; k++)
            sum += w->seen[d][k];
    for (size_t i = 0; i < w->n_open; i++)
        sum += w->open[i].mass;
    for (size_t k = 0; k < w->K; k++) {
        double left = fmax(1 - sum, 1e-6) / (double)(w->K > 1 ? w->K - 1 : 1);
        least[k] = fmax(w->bound[k] >= 0 ? w->bound[k] : left, 1e-9);
    }
    resolve(w, least);
    for (size_t k = 0; k < w->K; k++)
        if (!(w->mass[k] > 0))
            w->mass[k] = least[k];
    return true;
}

bool silr_answer_logp(const silr_task *task, const silr_choice *c, int label, float *logp)
{
    walk w = {.K = task->n_classes};
    written so_far = {.len = 0};
    size_t at, first;
    double before = 0, sum = 0;

    if (label < 0 || c->n_places == 0 || w.K > 64)
        return false;
    for (size_t k = 0; k < w.K; k++) {
        const char *name = silr_answer_name(task, (int)k);
        if (silr_words_lower(w.name[k], WORDS_MAX, name, strlen(name)) == SIZE_MAX)
            w.name[k][0] = '\0';
        w.bound[k] = -1;
    }
    if ((at = begins_at(w.name[label], c)) == SIZE_MAX ||
        !find_token(c, at, &first, &so_far.n_lead, &so_far.marks) ||
        token_text(so_far.lead, &c->place[first].token, so_far.marks) == SIZE_MAX)
        return false;
    for (size_t i = first; i < c->n_places && i < first + WALK; i++)
        if (!step(&w, &c->place[i], &so_far, &before))
            break;
    if (!settle(&w, label))
        return false;
    for (size_t k = 0; k < w.K; k++)
        sum += w.mass[k];
    for (size_t k = 0; k < w.K; k++)
        logp[k] = (float)(log(w.mass[k]) - log(sum));
    return isfinite(sum) && sum > 0;
}
