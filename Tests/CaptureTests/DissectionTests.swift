import Dissection
import PacketCapture
import Testing

@Suite struct DissectionTests {
    /// Everything that Node and libudx recorded: nothing unexplained, nothing that fails a check, each message encodes back.
    @Test(arguments: Fixture.folders.filter { !$0.contains("kadepy") })
    func recordedBundlesAreUnderstood(_ folder: String) throws {
        let bundle = try TraceBundle(path: folder)
        let dissection = Dissection(bundle)
        let statistics = Statistics(dissection)
        #expect(dissection.issues.isEmpty, "\(bundle.name): \(dissection.issues.prefix(5))")
        #expect(statistics.bytes[.unexplained] == nil)
        for capture in bundle.extraCaptures {
            let other = Dissection(bundle, capture: capture.capture)
            #expect(other.issues.isEmpty, "\(bundle.name) \(capture.name): \(other.issues.prefix(5))")
        }
    }

    @Test(arguments: Fixture.folders.filter { $0.contains("kadepy") })
    func kadePyIsNamed(_ folder: String) throws {
        let bundle = try TraceBundle(path: folder)
        let dissection = Dissection(bundle)
        let statistics = Statistics(dissection)
        #expect(statistics.kadepy == dissection.packets.count, "\(dissection.packets.map(\.kind.name))")
        #expect(dissection.issues.isEmpty)
    }
}
