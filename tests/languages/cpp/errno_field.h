// Included before everything else. osd.v1.Error has a field "errno", and <cerrno> has a macro of that name: the generated
// class compiles only without the macro. The library's headers need it, so they come first.
#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#undef errno
