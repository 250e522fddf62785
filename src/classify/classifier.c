/* classifier.c - from the task to the classifier it names. */
#include "classify/ngram.h"

static const char *corpus_text(const void *ctx, size_t i, size_t *len)
{
    return silr_corpus_text(ctx, i, len);
}

static int at_most(int64_t v, int64_t most)
{
    return (int)(v < most ? v : most);
}

silr_status silr_classifier_new(silr_classifier **out, const silr_task *task, const silr_corpus *c,
                                silr_error *err)
{
    const silr_ngram_opts o = {
        .word_min = at_most(task->classifier.word_min, SILR_NGRAM_LONGEST),
        .word_max = at_most(task->classifier.word_max, SILR_NGRAM_LONGEST),
        .char_min = at_most(task->classifier.char_min, SILR_NGRAM_LONGEST),
        .char_max = at_most(task->classifier.char_max, SILR_NGRAM_LONGEST),
        .bits = at_most(task->classifier.bits, SILR_NGRAM_BITS),
        .lowercase = task->classifier.lowercase,
        .weight = task->classifier.weight,
        .min_count = (uint32_t)at_most(task->classifier.min_count, INT32_MAX)};

    *out = NULL;
    if ((o.word_max > 0 && (o.word_min < 1 || o.word_min > o.word_max)) ||
        (o.char_max > 0 && (o.char_min < 1 || o.char_min > o.char_max)))
        return silr_fail(err, SILR_EINPUT,
                         "classifier: the shortest n-gram must have 1 or more parts and be no "
                         "longer than the longest (word_min <= word_max, char_min <= char_max)");
    if (o.word_max <= 0 && o.char_max <= 0)
        return silr_fail(err, SILR_EINPUT,
                         "classifier: no n-grams are left: set word_max or char_max above 0");
    SILR_ASSERT(o.bits >= 1);
    return silr_ngram_new(out, &o, (int)task->n_classes, (const char *const *)task->classes,
                          corpus_text, c, silr_corpus_size(c), err);
}
