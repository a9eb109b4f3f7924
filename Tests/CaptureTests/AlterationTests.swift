import PacketCapture
import Testing
import TraceChecks

/// Recordings that mean something else are named by the rule that is meant for it. The command "damage" runs the same over the whole corpus.
@Suite struct AlterationTests {
    /// Rule, and a bundle in which something breaks it.
    static let cases: [(alteration: String, bundle: String)] = [
        ("udx: an answer to MESSAGE", "udx-messages"),
        ("udx: a message is missing", "udx-messages"),
        ("udx: DESTROY is answered", "udx-destroy"),
        ("udx: an answer comes first", "udx-half-open"),
        ("udx: data waits although the window is open", "udx-head-zero-window"),
        ("udx: HEARTBEAT beside unacknowledged data", "udx-head-heartbeat"),
        ("dht-rpc: an ephemeral node gives an id", "dht-bootstrap"),
        ("dht-rpc: a closer node twice", "dht-bootstrap"),
        ("dht-rpc: closer nodes from far to near", "dht-bootstrap"),
        ("dht-rpc: a response twice", "dht-bootstrap"),
        ("hyperdht: an unknown key is found", "connect-not-found"),
        ("hyperdht: one record less", "swarm-crossing"),
        ("hyperdht: a put is not refused", "mutable-immutable"),
        ("hyperdht: a stored value is not given", "mutable-immutable"),
        ("hyperdht: an unannounce is missing", "swarm-topic"),
        ("protomux: a channel that nobody opened", "protomux"),
        ("blind-relay: the other role", "connect-relayed"),
        ("blind-relay: another token", "connect-relayed"),
    ]

    @Test(arguments: cases.indices)
    func isNamed(_ index: Int) throws {
        let (name, bundle) = Self.cases[index]
        let alteration = try #require(Alteration.all.first { $0.name == name })
        let outcomes = DamageCampaign(try Fixture.bundle(bundle)).run(alteration, count: 3, seed: 1)
        #expect(outcomes.contains { $0.isNamed }, "\(name) in \(bundle): \(outcomes)")
    }
}
