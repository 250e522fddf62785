/* trades.c - everything that ranks can do for one another, module by module. */
#include "annotate/annotator.h"
#include "classify/classifier.h"
#include "embed/embed.h"
#include "run/run.h"

const silr_trade *const silr_run_trades[] = {&silr_embed_trade, &silr_local_trade, &silr_qlora_trade, NULL};
