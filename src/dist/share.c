/* share.c - who does what: contiguous parts of a list, one a rank. */
#include "dist/dist.h"

void silr_dist_share(size_t n, int rank, size_t *first, size_t *end)
{
    const size_t size = (size_t)silr_dist_size(), r = (size_t)rank;
    const size_t each = n / size, more = n % size; /* the first `more` ranks have one more */

    *first = r * each + (r < more ? r : more);
    *end = *first + each + (r < more ? 1 : 0);
}

/* Rank r begins at the first item whose middle lies at or behind r/size of the whole weight, so that an
 * item goes to the rank which has most of it. Twice the weight keeps the middles whole numbers. Items
 * of no weight cost nothing wherever they go. */
void silr_dist_share_by(const uint32_t *weight, size_t n, int size, size_t *first)
{
    unsigned __int128 total = 0, before = 0;
    size_t i = 0;

    for (size_t k = 0; k < n; k++)
        total += weight[k];
    for (int r = 0; r < size; r++) {
        const unsigned __int128 limit = 2 * total * (unsigned)r;
        while (i < n && (2 * before + weight[i]) * (unsigned)size < limit)
            before += weight[i++];
        first[r] = i;
    }
    first[0] = 0;
    first[size] = n;
}
