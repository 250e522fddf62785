/* fuzz_plain.c - plain text, and any bytes whose format is guessed: packed, marked or neither. */
#include "rows_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_rows(data, size, SILR_FORMAT_PLAIN);
    check_rows(data, size, SILR_FORMAT_AUTO);
    return 0;
}
