/* look.c - what a model is and whether silr runs it: it is opened as a run would open it. */
#include "hub/hub.h"
#ifdef SILR_HUB_LOOKS
#include "formats/formats.h"
#include "tokenizer/tokenizer.h"

static void add_brief(silr_buf *out, const silr_model_spec *s)
{
    silr_buf_printf(out, "%s, %zu layers of %zu", s->architecture, s->layers, s->hidden);
}

silr_status silr_hub_look(const char *model, silr_buf *brief, silr_buf *what, silr_error *err)
{
    silr_weights *weights = NULL;
    silr_tokenizer *tokenizer = NULL;
    silr_status st;

    if ((st = silr_weights_open(&weights, model, err)) == SILR_OK) {
        add_brief(brief, silr_weights_spec(weights));
        if ((st = silr_weights_describe(weights, what, err)) == SILR_OK)
            st = silr_tokenizer_open(&tokenizer, model, err);
    }
    silr_tokenizer_free(tokenizer);
    silr_weights_free(weights);
    return st;
}
#else
silr_status silr_hub_look(const char *model, silr_buf *brief, silr_buf *what, silr_error *err)
{
    (void)brief, (void)what;
    return silr_fail(err, SILR_EINPUT, "%s: this silr is built without what reads models", model);
}
#endif
