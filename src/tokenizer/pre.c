/* pre.c - what tokenizer.ggml.pre means: GGUF files name their pre-tokenizer, the patterns are
 * known.
 *
 * Each pattern in turn splits what the ones before it left, and both matches and what lies between
 * them stand alone. */
#include "tokenizer/inside.h"
#include <string.h>

enum { MOST = 6, IGNORE_MERGES = 1, ADD_BOS = 2 };

#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LLAMA3(digits)                                                                             \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                          \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(contraction, digits)                                                                 \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" contraction "|[^\\r\\n\\p{L}\\p{N}]?" UPPER       \
    "+" LOWER "*" contraction "|" digits                                                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *names; /* separated by spaces */
    int how;
    const char *pattern[MOST];
} known[] = {
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat mellum modern-bert jina-es "
     "jina-de "
     "jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe a.x-4.0",
     0,
     {GPT2}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b", 0, {"\\p{N}", GPT2}},
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     IGNORE_MERGES | ADD_BOS,
     {LLAMA3("\\p{N}{1,3}")}},
    {"dbrx smaug-bpe chatglm-bpe glm4 glm5", 0, {LLAMA3("\\p{N}{1,3}")}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2",
     0,
     {LLAMA3("\\p{N}")}},
    {"qwen35",
     0,
     {CONTRACTIONS
      "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"gpt-4o llama4 kanana2", 0, {CASED("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}")}},
    {"tekken", IGNORE_MERGES | ADD_BOS, {CASED("", "\\p{N}")}},
    {"deepseek-v3 hunyuan-dense joyai-llm",
     0,
     {"\\p{N}{1,3}",
      "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+",
      "[!\"#$%&'()*+,\\-./"
      ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
      " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"deepseek-coder",
     0,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
      "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+", "\\p{N}"}},
    {"falcon", 0, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"default", 0, {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};
enum { KNOWN = sizeof known / sizeof *known };

static bool has_name(const char *names, const char *pre, size_t len)
{
    for (const char *p = names; *p; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        if (n == len && memcmp(p, pre, n) == 0)
            return true;
        p += n;
    }
    return false;
}

static silr_status refuse(const silr_tokenizer *t, const char *pre, size_t len, silr_error *err)
{
    silr_buf list = {0};
    silr_status st;

    for (int i = 0; i < KNOWN; i++)
        silr_buf_printf(&list, "%s%s", i ? " " : "", known[i].names);
    st = list.failed
             ? silr_fail_memory(err)
             : silr_fail(err, SILR_EINPUT,
                         "%s: silr does not know the pre-tokenizer \"%.*s\"; those it knows: %s",
                         t->name, (int)(len < 60 ? len : 60), pre, list.data);
    silr_buf_clear(&list);
    return st;
}

static silr_status add(silr_tokenizer *t, const char *pattern, silr_error *err)
{
    silr_split step = {.kind = SPLIT_SCAN, .cut = CUT_ISOLATED};
    silr_status st;

    if (strcmp(pattern, "\\p{N}") == 0)
        step.kind = SPLIT_DIGIT;
    else if (!(step.scan = silr_tok_scanner(pattern, strlen(pattern)))) {
        step.kind = SPLIT_PATTERN;
        if ((st = silr_tok_regex_new(&step.regex, pattern, strlen(pattern), t->name, err)) !=
            SILR_OK)
            return st;
    }
    return silr_tok_add_split(t, step, err);
}

silr_status silr_tok_read_pre(silr_tokenizer *t, const char *pre, size_t len, bool *add_bos,
                              silr_error *err)
{
    for (int i = 0; i < KNOWN; i++) {
        if (!has_name(known[i].names, pre, len))
            continue;
        t->ignore_merges = (known[i].how & IGNORE_MERGES) != 0;
        *add_bos = (known[i].how & ADD_BOS) != 0;
        for (int k = 0; k < MOST && known[i].pattern[k]; k++) {
            silr_status st = add(t, known[i].pattern[k], err);
            if (st != SILR_OK)
                return st;
        }
        return silr_tok_add_split(t, (silr_split){.kind = SPLIT_BYTES}, err);
    }
    return refuse(t, pre, len, err);
}
