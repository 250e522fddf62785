/* pattern.c - how often a regular expression is found in a text, and never for long.
 *
 * A backtracking matcher can need time exponential in the length of the text: (a+)+$ on
 * aaaaaaaaaaaaaaaaaaaaaaaaaaaaab. PCRE2 counts its steps and gives up at a limit, but its two
 * matchers count differently: the interpreter counts over a whole call, the JIT compiler's code
 * from each starting point anew, so that a limit of a million on a text of a megabyte would mean
 * 10^12 steps. So the JIT runs with a short leash; what it cannot do within that, the interpreter
 * decides with the limit that the task gives; and of such second opinions a text gets a few.
 * Its code does not count everything, either: recursion, and ways through groups that are not
 * repeated, such as (a|a)(a|a)(a|a)..., go by unseen. Patterns with recursion, or with many such
 * ways, are left to the interpreter, which counts all.
 *
 * A pattern that gives up on a text has no vote there; the caller counts and reports it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "annotate/internal.h"
#include <math.h>
#include <pcre2.h>
#include <string.h>

enum {
    LEASH = 5000,           /* JIT: steps from one starting point */
    SECOND_OPINIONS = 8,    /* a text and rule */
    WAYS = 10000,           /* through a pattern's groups, uncounted by the JIT */
    HEAP_KIB = 32 * 1024,   /* the interpreter's memory */
    STACK_MIN = 32 * 1024, STACK_MAX = 1024 * 1024, /* the JIT's */
};

struct silr_pattern {
    pcre2_code *code;
    bool jit;
};

struct silr_matcher {
    pcre2_general_context *memory;
    pcre2_match_data *data;
    pcre2_match_context *leashed, *patient;
    pcre2_jit_stack *stack;
};

static void *take_memory(PCRE2_SIZE n, void *unused)
{
    (void)unused;
    return silr_malloc(n);
}
static void give_memory(void *p, void *unused)
{
    (void)unused;
    silr_free(p);
}

static silr_status bad_pattern(const silr_rule *rule, const char *file, int code, size_t offset,
                               silr_error *err)
{
    PCRE2_UCHAR why[160];

    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
        return silr_fail_memory(err);
    if (pcre2_get_error_message(code, why, sizeof why) < 0)
        memcpy(why, "not a pattern", sizeof "not a pattern");
    return silr_fail(err, SILR_EINPUT, "%s:%d: pattern \"%.200s\", at character %zu: %s", file,
                     rule->line, rule->pattern, offset + 1, (const char *)why);
}

/* (?R) (?1) (?+1) (?-1) (?&name) (?P>name) \g<name> \g'name': s stands on ( or \. */
static bool is_recursion(const char *s)
{
    if (s[0] == '\\')
        return s[1] == 'g' && (s[2] == '<' || s[2] == '\'');
    if (s[0] != '(' || s[1] != '?')
        return false;
    s += 2;
    if (*s == '+' || *s == '-')
        s++;
    return *s == 'R' || *s == '&' || (s[0] == 'P' && s[1] == '>') || (*s >= '0' && *s <= '9');
}

/* Whether the JIT may have it. b bars in g groups, however spread, make at most ((b + g) / g)^g
 * ways through them. Brackets and bars within character classes are counted along: a pattern too
 * many for the interpreter is slower, one too many for the JIT may never end. */
static bool is_tame(const char *pattern)
{
    double groups = 1, bars = 0;

    for (const char *s = pattern; *s; s++) {
        if (is_recursion(s))
            return false;
        groups += *s == '(';
        bars += *s == '|';
    }
    return groups * log((bars + groups) / groups) <= log((double)WAYS);
}

silr_status silr_pattern_new(silr_pattern **out, const silr_rule *rule, const char *file,
                             silr_error *err)
{
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_CASELESS | PCRE2_NEVER_BACKSLASH_C;
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    pcre2_compile_context *how = memory ? pcre2_compile_context_create(memory) : NULL;
    silr_pattern *p = silr_calloc(1, sizeof *p);
    int code = 0;
    size_t offset = 0;
    silr_status st = SILR_OK;

    *out = NULL;
    if (!how || !p) {
        st = silr_fail_memory(err);
        goto done;
    }
    p->code = pcre2_compile((PCRE2_SPTR)rule->pattern, PCRE2_ZERO_TERMINATED, options, &code,
                            &offset, how);
    if (!p->code) {
        st = bad_pattern(rule, file, code, offset, err);
        goto done;
    }
    p->jit = is_tame(rule->pattern) && pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    *out = p;
    p = NULL;
done:
    silr_pattern_free(p);
    pcre2_compile_context_free(how);
    pcre2_general_context_free(memory);
    return st;
}

void silr_pattern_free(silr_pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    silr_free(p);
}

silr_matcher *silr_matcher_new(uint32_t match_limit)
{
    silr_matcher *m = silr_calloc(1, sizeof *m);

    if (!m || !(m->memory = pcre2_general_context_create(take_memory, give_memory, NULL)))
        goto failed;
    m->data = pcre2_match_data_create(1, m->memory);
    m->leashed = pcre2_match_context_create(m->memory);
    m->patient = pcre2_match_context_create(m->memory);
    m->stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, m->memory); /* NULL: a smaller one */
    if (!m->data || !m->leashed || !m->patient)
        goto failed;
    pcre2_set_match_limit(m->leashed, match_limit < LEASH ? match_limit : LEASH);
    pcre2_set_match_limit(m->patient, match_limit);
    pcre2_set_depth_limit(m->patient, match_limit);
    pcre2_set_heap_limit(m->patient, HEAP_KIB);
    if (m->stack)
        pcre2_jit_stack_assign(m->leashed, NULL, m->stack);
    return m;
failed:
    silr_matcher_free(m);
    return NULL;
}

void silr_matcher_free(silr_matcher *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->leashed);
    pcre2_match_context_free(m->patient);
    pcre2_jit_stack_free(m->stack);
    pcre2_general_context_free(m->memory);
    silr_free(m);
}

/* One search from `at`; *opinions counts down the calls of the interpreter behind the JIT. */
static int search(const silr_pattern *p, silr_matcher *m, const char *text, size_t len, size_t at,
                  uint32_t options, int *opinions)
{
    PCRE2_SPTR s = (PCRE2_SPTR)text;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;

    if (p->jit)
        rc = pcre2_match(p->code, s, len, at, options, m->data, m->leashed);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT || rc == PCRE2_ERROR_MATCHLIMIT) {
        if (p->jit && --*opinions < 0)
            return PCRE2_ERROR_MATCHLIMIT;
        rc = pcre2_match(p->code, s, len, at, options | PCRE2_NO_JIT, m->data, m->patient);
    }
    return rc;
}

int64_t silr_pattern_count(const silr_pattern *p, silr_matcher *m, const char *text, size_t len,
                           bool fresh)
{
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(m->data);
    uint32_t options = PCRE2_NOTEMPTY | (fresh ? 0 : PCRE2_NO_UTF_CHECK);
    int opinions = SECOND_OPINIONS;
    int64_t hits = 0;
    size_t at = 0;

    while (at <= len) {
        int rc = search(p, m, text, len, at, options, &opinions);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc == PCRE2_ERROR_NOMEMORY)
            return SILR_OUT_OF_MEMORY;
        if (rc < 0)
            return SILR_GAVE_UP; /* a limit, or not UTF-8 */
        hits++;
        options |= PCRE2_NO_UTF_CHECK;
        if (found[1] > at) {
            at = found[1];
        } else { /* \K can set the end before the start: go on by one character all the same */
            at++;
            while (at < len && ((unsigned char)text[at] & 0xc0) == 0x80)
                at++;
        }
    }
    return hits;
}
