/* fuzz_task.c - any bytes as a task file. What is accepted must also survive being written as JSON
 * and read back: the same hash, or the canonical text is not canonical. */
#include "task/task.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_task *t, *back;
    silr_error err;
    silr_buf json = {0};

    if (silr_task_parse(&t, (const char *)data, size, "task.yaml", ".", NULL, 0, &err) != SILR_OK) {
        if (t || err.status >= 0 || strlen(err.text) == 0)
            abort();
        return 0;
    }
    silr_task_to_json(t, &json);
    if (json.failed ||
        silr_task_parse(&back, json.data, json.len, "task.json", ".", NULL, 0, &err) != SILR_OK ||
        strcmp(t->hash.hex, back->hash.hex) != 0)
        abort();
    silr_task_free(back);
    silr_task_free(t);
    silr_buf_clear(&json);
    return 0;
}
