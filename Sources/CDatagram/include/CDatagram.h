#ifndef HYPERCONFORM_CDATAGRAM_H
#define HYPERCONFORM_CDATAGRAM_H
#include <stddef.h>
#include <stdint.h>
#endif
