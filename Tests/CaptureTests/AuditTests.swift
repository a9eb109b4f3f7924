import PacketCapture
import Testing
import TraceChecks

@Suite struct AuditTests {
    /// The rules hold for everything that Node and libudx recorded, on every side.
    @Test(arguments: Fixture.folders.filter { !$0.contains("kadepy") })
    func recordingsObeyTheRules(_ folder: String) throws {
        let bundle = try TraceBundle(path: folder)
        for capture in [bundle.capture] + bundle.extraCaptures.map(\.capture) {
            let audit = TraceAudit(bundle, capture: capture)
            #expect(audit.findings.isEmpty, "\(bundle.name): \(audit.findings.count) \(audit.findings.prefix(6))")
        }
    }
}
