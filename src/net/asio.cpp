#include "net/asio.h"
// After the definitions above.
#include <boost/asio/impl/src.hpp>
