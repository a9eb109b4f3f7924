import PacketCapture
import Testing
import TraceChecks

/// Damage is named: one flipped byte at a time, with the packet. The command "flips" runs the same by the thousand.
@Suite struct FlipTests {
    @Test(arguments: ["connect-relayed", "secret-stream-messages", "announce-lookup", "udx-messages", "secret-stream-xx", "protomux"])
    func flippedBytesAreNamed(_ name: String) throws {
        let campaign = FlipCampaign(try Fixture.bundle(name))
        for kind in FlipCampaign.ByteKind.allCases where campaign.targets[kind] != nil {
            let summary = campaign.run(kind, count: 20, seed: 7)
            #expect(summary.flips == 20)
            #expect(summary.authenticatedFound == summary.authenticated, "\(name) \(kind.rawValue): \(summary.misses)")
            // 20 flips are few: two of bytes that nothing protects may go unnoticed by chance.
            #expect(summary.flips - summary.found <= 2, "\(name) \(kind.rawValue): \(summary.misses)")
        }
    }
}
