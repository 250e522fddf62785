#include "refine/refine.h"
#include "report/report.h"
#include "classify/trainer.h"
