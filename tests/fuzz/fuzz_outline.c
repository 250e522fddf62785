/* fuzz_outline.c - any bytes as a line of a batch's output, and as the server's description of one. */
#include "chat/batch.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(const char *part, size_t len, const char *line, size_t size)
{
    if (part && (part < line || part > line + size || len > (size_t)(line + size - part)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line = (const char *)data;
    silr_outline o;
    silr_reply reply;
    char why[200];
    batch t = {0};
    json_t *root = json_loadb(line, size, 0, NULL);

    if (silr_outline_cut(&o, line, size)) {
        within(o.custom_id, o.id_len, line, size);
        within(o.body, o.body_len, line, size);
        within(o.error, o.error_len, line, size);
        if (o.body && silr_reply_read(&reply, o.body, o.body_len, why))
            silr_reply_clear(&reply);
    }
    if (silr_batch_read(&t, root) &&
        (t.id[0] == '\0' || strchr(t.id, '/') || strchr(t.output, '/')))
        abort();
    json_decref(root);
    return 0;
}
