#ifndef HYPERCONFORM_CMUTATION_H
#define HYPERCONFORM_CMUTATION_H
#include <stdint.h>

/// The mutation that is active on this thread; 0 means none.
uint32_t hyperconform_mutation_get(void);
void hyperconform_mutation_set(uint32_t code);
#endif
