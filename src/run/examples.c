/* examples.c - few-shot examples that were drawn from the labelled sample: which texts an annotator is
 * shown, and which must not be asked about because of it. */
#include "run/internal.h"
#include <string.h>

silr_status silr_shown_make(silr_shown *out, const silr_task *task, const silr_corpus *c,
                            const silr_examples *e, silr_error *err)
{
    size_t n = silr_task_prompts(task)
                   ? (size_t)task->annotator.chat.draw_examples : 0;

    *out = (silr_shown){0};
    if (n == 0)
        return SILR_OK;
    if (!(out->example = silr_calloc(n, sizeof *out->example)))
        return silr_fail_memory(err);
    for (; out->n < n && out->n < e->n_examples; out->n++) {
        size_t at = e->example[out->n], len;
        const char *text = silr_corpus_text(c, e->doc[at], &len);
        char *copy = silr_strndup(text, len);
        if (!copy)
            return silr_fail_memory(err);
        out->example[out->n] = (silr_example){copy, e->truth[at]};
    }
    return SILR_OK;
}

void silr_shown_clear(silr_shown *s)
{
    for (size_t i = 0; i < s->n; i++)
        silr_free(s->example[i].text);
    silr_free(s->example);
    *s = (silr_shown){0};
}

silr_status silr_examples_hold(bool **held, const silr_corpus *c, const silr_examples *e,
                               silr_error *err)
{
    size_t total = silr_corpus_size(c);
    bool *group = silr_calloc(silr_corpus_groups(c) + 1, sizeof *group);

    *held = NULL;
    if (!group || !(*held = silr_calloc(total + 1, sizeof **held))) {
        silr_free(group);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < e->n_examples; i++)
        group[silr_corpus_group(c, e->doc[e->example[i]])] = true;
    for (size_t i = 0; i < total; i++)
        (*held)[i] = group[silr_corpus_group(c, i)];
    silr_free(group);
    return SILR_OK;
}
