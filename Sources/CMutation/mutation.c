#include "CMutation.h"

static _Thread_local uint32_t active = 0;

uint32_t hyperconform_mutation_get(void) { return active; }
void hyperconform_mutation_set(uint32_t code) { active = code; }
