import Conformance
import HyperCrypto
import class Noise.HandshakeState
import SansIO
import SecretStream

/// The XX handshake of a stand-alone secret-stream, the peer as the responder; each message is put into its frame by hand.
enum XXProbes {
    private static func probe(_ slug: String, _ requirements: [String], _ run: @escaping @Sendable (ProbeContext, TCPTester) throws -> Void)
        -> Probe
    {
        Probe("noise", slug, requirements, needs: ["secretStream.listen"]) { context in
            try run(context, TCPTester(context.listen().address))
        }
    }

    static let probes: [Probe] = [
        probe("xx-short-message", ["NOISE-17"]) { context, tester in refused(context, tester, [UInt8](repeating: 9, count: 31)) },
        probe("xx-identity-point", ["NOISE-18"]) { context, tester in
            refused(context, tester, [1] + [UInt8](repeating: 0, count: 31))
        },
        probe("xx-payload-of-the-first-message", ["NOISE-19"]) { context, tester in
            guard let key = KeyPair(seed: [UInt8](repeating: 3, count: 32)) else { throw ProbeError("no key") }
            let initiator = try HandshakeState(
                pattern: .xx, isInitiator: true, prologue: [], staticKeys: key, ephemeral: KeyPair(seed: [UInt8](repeating: 4, count: 32)))
            tester.send(framed(try initiator.write(payload: [1, 2, 3, 4])))
            let answer = read(tester, 2000, 99)
            context.exam.bytes("its length", Array(answer.prefix(3)), [96, 0, 0])
            context.exam.count(1)
            do { _ = try initiator.read(Array(answer.dropFirst(3))) } catch {
                context.exam.report("the answer, over a transcript with the payload", expected: "taken", actual: "\(error)")
            }
        },
    ]

    private static func framed(_ message: [UInt8]) -> [UInt8] { FrameLength(message.count).encoded + message }

    private static func read(_ tester: TCPTester, _ milliseconds: Int64, _ count: Int) -> [UInt8] {
        let deadline = Instant.now + .milliseconds(milliseconds)
        var result: [UInt8] = []
        while result.count < count, !tester.hasPeerEnded, .now < deadline { result += tester.receive(until: deadline) }
        return result
    }

    private static func refused(_ context: ProbeContext, _ tester: TCPTester, _ message: [UInt8]) {
        tester.send(framed(message))
        context.exam.bytes("written back", read(tester, 2500, 1), [])
        context.exam.require("destroyed", tester.hasPeerEnded, "the connection is still open")
    }
}
