/* fuzz_csv.c - CSV, and the same bytes as TSV. Cutting and parsing walk the same states, so a row
 * that is cut out of the stream and parsed has the fields of the header or says why not. */
#include "rows_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_rows(data, size, SILR_FORMAT_CSV);
    check_rows(data, size, SILR_FORMAT_TSV);
    return 0;
}
