import Foundation
import Fuzzing

/// The target named by FUZZ_TARGET; `self-test` traps on an input that begins with "FUZZ", to show that findings are seen and saved.
enum Chosen {
    static let name = ProcessInfo.processInfo.environment["FUZZ_TARGET"] ?? ""
    static let target = FuzzTargets.all.first { $0.name == name }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let bytes = start.map { Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
    if let target = Chosen.target {
        if let broken = target.run(bytes) { fatalError("\(target.name): \(broken)") }
    } else if bytes.count >= 4, bytes[0] == 70, bytes[1] == 85, bytes[2] == 90, bytes[3] == 90 {
        fatalError("the planted trap")
    }
    return 0
}
