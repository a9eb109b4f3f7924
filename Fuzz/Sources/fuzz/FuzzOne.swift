import Foundation
import Fuzzing

/// The target named by FUZZ_TARGET; with FUZZ_PLANTED=1 a bug is planted in it, to show that this target's findings are seen and saved.
enum Chosen {
    static let target = FuzzTargets.all.first { $0.name == ProcessInfo.processInfo.environment["FUZZ_TARGET"] }
    static let run = ProcessInfo.processInfo.environment["FUZZ_PLANTED"] == "1" ? target?.runPlanted : target?.run
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let bytes = start.map { Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
    if let broken = Chosen.run?(bytes) { fatalError("a promise is broken: \(broken)") }
    return 0
}
