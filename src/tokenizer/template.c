/* template.c - which of the known ways to write a conversation a model's template is.
 *
 * The template is a program and is never run. Each format has marks that no other has; what else
 * differs between models of one format is a default system text, a BOS, or spaces, and is read off
 * the template's string literals. */
#include "tokenizer/inside.h"
#include <string.h>

static const char *const names[] = {
    [SILR_TALK_NONE] = "none",     [SILR_TALK_CHATML] = "chatml",   [SILR_TALK_LLAMA2] = "llama2",
    [SILR_TALK_LLAMA3] = "llama3", [SILR_TALK_MISTRAL] = "mistral", [SILR_TALK_GEMMA] = "gemma",
    [SILR_TALK_PHI3] = "phi3",     [SILR_TALK_ZEPHYR] = "zephyr",   [SILR_TALK_UNKNOWN] = "unknown",
};

const char *silr_talk_name(silr_talk talk)
{
    return (unsigned)talk < sizeof names / sizeof *names ? names[talk] : NULL;
}

silr_talk silr_tokenizer_talk(const silr_tokenizer *t)
{
    return t->talk.kind;
}

static silr_talk kind_of(const char *s)
{
    if (strstr(s, "<|im_start|>"))
        return strstr(s, "<|im_sep|>") || strstr(s, "<end_of_utterance>") ? SILR_TALK_UNKNOWN
                                                                          : SILR_TALK_CHATML;
    if (strstr(s, "[INST]"))
        return strstr(s, "<<SYS>>") ? SILR_TALK_LLAMA2 : SILR_TALK_MISTRAL;
    if (strstr(s, "<|start_header_id|>"))
        return SILR_TALK_LLAMA3;
    if (strstr(s, "<start_of_turn>"))
        return SILR_TALK_GEMMA;
    if (strstr(s, "<|assistant|>") && strstr(s, "<|end|>"))
        return SILR_TALK_PHI3;
    if (strstr(s, "<|assistant|>") && strstr(s, "<|user|>") &&
        (strstr(s, "eos_token") || strstr(s, "</s>") || strstr(s, "<|endoftext|>")))
        return SILR_TALK_ZEPHYR;
    return SILR_TALK_UNKNOWN;
}

/* What the template writes when nobody gives a system text: a literal "<|im_start|>system\n ...
 * <|im_end|>" without quotes or expressions between. */
static silr_status default_system(silr_tokenizer *t, silr_error *err)
{
    static const char begin[] = "<|im_start|>system", end[] = "<|im_end|>";

    for (const char *s = t->template; (s = strstr(s, begin));) {
        const char *stop;
        s += sizeof begin - 1;
        if (strncmp(s, "\\n", 2) == 0)
            s += 2;
        else if (*s == '\n')
            s++;
        else
            continue;
        stop = strstr(s, end);
        if (!stop || memchr(s, '\'', (size_t)(stop - s)) || memchr(s, '"', (size_t)(stop - s)) ||
            memchr(s, '{', (size_t)(stop - s)) || memchr(s, '\\', (size_t)(stop - s)))
            continue;
        t->talk.system_len = (size_t)(stop - s);
        t->talk.system = silr_strndup(s, t->talk.system_len);
        return t->talk.system ? SILR_OK : silr_fail_memory(err);
    }
    return SILR_OK;
}

static void mistral(silr_talk_style *talk, const char *s)
{
    bool official = strstr(s, "' [INST] ' + system_message") || strstr(s, "[AVAILABLE_TOOLS]");
    bool tekken = strstr(s, "\"[INST]\"") != NULL;

    talk->marked_system = strstr(s, "[SYSTEM_PROMPT]") != NULL;
    talk->lead = strstr(s, " [INST]") != NULL;
    talk->close = strstr(s, " [/INST]") != NULL;
    talk->trail = strstr(s, "[INST] ") != NULL;
    talk->answer = official && !tekken && !talk->marked_system;
    talk->trim = official && !talk->lead && !tekken && !talk->marked_system;
}

silr_status silr_tok_recognise(silr_tokenizer *t, silr_error *err)
{
    silr_talk_style *talk = &t->talk;
    const char *s = t->template;

    if (!s)
        return SILR_OK;
    talk->kind = kind_of(s);
    talk->bos = strstr(s, "bos_token") != NULL;
    if (talk->kind == SILR_TALK_CHATML)
        return default_system(t, err);
    if (talk->kind == SILR_TALK_MISTRAL)
        mistral(talk, s);
    if (talk->kind == SILR_TALK_LLAMA3 && strstr(s, "Cutting Knowledge Date: December 2023")) {
        talk->preamble = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
        if (!(talk->system = silr_strdup("")))
            return silr_fail_memory(err);
    }
    return SILR_OK;
}
