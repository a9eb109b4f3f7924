import CompactEncoding
import Conformance
import Foundation
import HyperCrypto
import LivePeers
import SansIO
import SecretStream
import StrictJSON

/// Stand-alone secret-streams over TCP, from the outside.
enum SecretStreamProbes {
    private static func probe(_ slug: String, _ requirements: [String], _ run: @escaping @Sendable (ProbeContext) throws -> Void) -> Probe {
        Probe("secret-stream", slug, requirements, needs: ["secretStream.listen", "write", "end", "destroy"], run: run)
    }

    static let probes: [Probe] = arriving + tampering + sending + ending

    private static let arriving: [Probe] = [
        probe("byte-by-byte", ["SS-3"]) { context in
            let tester = try SecretTester(context, sendsHeader: false)
            var bytes = tester.takeFrames().flatMap { $0 }
            bytes += try tester.seal([1, 2, 3]) + tester.seal([]) + tester.seal([4])
            for byte in bytes {
                try tester.send([byte])
                usleep(300)
            }
            try tester.adopt()
            context.exam.equal("messages", tester.delivered(3), [[1, 2, 3], [], [4]])
        },
        probe("one-chunk", ["SS-4", "SS-32"]) { context in
            let tester = try SecretTester(context, sendsHeader: false)
            var bytes = tester.takeFrames().flatMap { $0 }
            for byte: UInt8 in [1, 2, 3] { bytes += try tester.seal([byte]) }
            try tester.send(bytes)
            try tester.adopt()
            context.exam.equal("messages", tester.delivered(3), [[1], [2], [3]])
        },
    ]

    private static let tampering: [Probe] = [
        probe("reflected-id", ["SS-5"]) { context in
            let tester = try SecretTester(context, sendsHeader: false)
            guard var header = tester.takeFrames().first, let hash = tester.machine.handshakeHash else { throw ProbeError("no header") }
            header.replaceSubrange(3..<35, with: IDHeader.id(handshakeHash: hash, isInitiator: false).bytes)
            try tester.send(header + tester.seal([1, 2, 3]))
            try tester.expectRefused("the wrong role's id")
        },
        probe("header-length", ["SS-6"]) { context in
            for length: UInt8 in [55, 57] {
                let tester = try SecretTester(context, sendsHeader: false)
                guard let header = tester.takeFrames().first else { throw ProbeError("no header") }
                try tester.send([length, 0, 0] + (header.dropFirst(3) + [0]).prefix(Int(length)))
                try tester.expectRefused("a header of \(length) bytes")
            }
        },
        probe("short-frame", ["SS-7"]) { context in
            let tester = try SecretTester(context)
            try tester.send([16, 0, 0] + [UInt8](repeating: 1, count: 16))
            try tester.expectDestroyed("a frame of 16 bytes")
        },
        probe("empty-frame", ["SS-8"]) { context in
            let tester = try SecretTester(context)
            try tester.send([0, 0, 0, 1])
            try tester.expectDestroyed("a frame of no bytes")
        },
        probe("flipped-bit", ["SS-9"]) { context in
            // In the tag, the ciphertext, the code.
            for place in [3, 5, 10] {
                let tester = try SecretTester(context)
                try tester.write([9, 9])
                context.exam.equal("before", tester.delivered(1), [[9, 9]])
                var frame = try tester.seal([1, 2, 3])
                frame[place] ^= 1
                try tester.send(frame)
                try tester.expectDestroyed("byte \(place)")
            }
        },
        probe("swapped-and-replayed", ["SS-10"]) { context in
            let swapped = try SecretTester(context)
            let (first, second) = (try swapped.seal([1]), try swapped.seal([2]))
            try swapped.send(second + first)
            try swapped.expectDestroyed("swapped frames")
            let replayed = try SecretTester(context)
            let frame = try replayed.seal([1])
            try replayed.send(frame)
            context.exam.equal("once", replayed.delivered(1), [[1]])
            try replayed.send(frame)
            try replayed.expectDestroyed("a replayed frame")
        },
        probe("end-inside-a-frame", ["SS-20b"]) { context in
            let tester = try SecretTester(context)
            try tester.write([7])
            try tester.send(Array(try tester.seal([1, 2, 3, 4, 5, 6, 7, 8]).dropLast(4)))
            tester.end()
            context.exam.equal("data", tester.delivered(2, within: 1), [[7]])
        },
        probe("end-inside-a-frame-is-an-error", ["SS-20a"]) { context in
            let tester = try SecretTester(context)
            try tester.send(Array(try tester.seal([1, 2, 3, 4, 5, 6, 7, 8]).dropLast(4)))
            tester.end()
            _ = try? context.peer.event("end", seconds: 0.5, where: { $0["stream"] == tester.stream })
            context.quietly("end", ["stream": tester.stream])
            let close = tester.closed()
            context.exam.require("an error", close != nil && close?["error"]?.isNull == false, "\(close?.text() ?? "no close event")")
        },
    ]

    private static let sending: [Probe] = [
        probe("frames", ["SS-12", "SS-13"]) { context in
            let tester = try SecretTester(context)
            var expected: [Int] = []
            for size in [0, 1, 16, 65_535, 65_536, 1_000_000] {
                try context.peer.request("write", ["stream": tester.stream, "generate": .integer(size)])
                expected.append(size)
                let wanted = expected.count
                try tester.read(5000, until: { tester.messages.count >= wanted })
            }
            context.exam.equal("messages", tester.messages.map(\.count), expected)
            // Each decrypted under our own reader, which takes no additional data; the lengths stand in the clear.
            var lengths: [Int] = []
            var rest = tester.received[...]
            while rest.count >= 3 {
                let i = rest.startIndex
                let length = Int(rest[i]) | Int(rest[i + 1]) << 8 | Int(rest[i + 2]) << 16
                lengths.append(length)
                rest = rest.dropFirst(3 + length)
            }
            // The second handshake message and the id header stand before them.
            context.exam.equal("frame lengths", Array(lengths.dropFirst(2)), expected.map { $0 + 17 })
        },
        probe("keep-alive", ["SS-16", "SS-15a"]) { context in
            let tester = try SecretTester(context, keepAlive: 500)
            try tester.read(300, until: { tester.received.count >= 59 })
            let start = Instant.now
            try tester.read(6000, until: { tester.messages.count >= 4 })
            let took = (Instant.now - start).milliseconds
            context.exam.equal("empty messages", Array(tester.messages.prefix(4)), [[], [], [], []])
            context.exam.require("four of them", (1500...3000).contains(took), "\(took) ms")
            try tester.write([])
            try tester.write([1])
            context.exam.equal("what the application reads", tester.delivered(2, within: 1), [[1]])
        },
        probe("writes-postpone-keep-alives", ["SS-16"]) { context in
            let tester = try SecretTester(context, keepAlive: 1500)
            // Never idle for so long: no empty message.
            for byte in 0..<12 {
                try context.peer.request("write", ["stream": tester.stream, "data": .string(Hex.encode([UInt8(byte)]))])
                try tester.read(300)
            }
            context.exam.equal("messages", tester.messages, (0..<12).map { [UInt8($0)] })
        },
        probe("destroy", ["SS-21"]) { context in
            let tester = try SecretTester(context)
            try tester.read(500, until: { false })
            let before = tester.received.count
            try context.peer.request("destroy", ["stream": tester.stream])
            try tester.read(1500)
            context.exam.equal("bytes after destroy", tester.received.count - before, 0)
            context.exam.require("the connection", tester.hasPeerEnded, "still open")
        },
    ]

    private static let ending: [Probe] = [
        probe("peer-ends-first", ["SS-18"]) { context in
            let tester = try SecretTester(context)
            try context.peer.request("write", ["stream": tester.stream, "data": "010203"])
            try context.peer.request("end", ["stream": tester.stream])
            try tester.read(2000, until: { tester.hasPeerEnded })
            context.exam.equal("messages", tester.messages, [[1, 2, 3]])
            context.exam.require("its direction", tester.hasPeerEnded, "still open")
            try tester.write([5])
            context.exam.equal("our later message", tester.delivered(1), [[5]])
        },
        probe("tester-ends-first", ["SS-19"]) { context in
            let tester = try SecretTester(context)
            try tester.write([5])
            tester.end()
            let end = try? context.peer.event("end", seconds: 3, where: { $0["stream"] == tester.stream })
            context.exam.require("end event", end != nil, "none")
            try context.peer.request("write", ["stream": tester.stream, "data": "0102"])
            try tester.read(2000, until: { !tester.messages.isEmpty })
            context.exam.equal("its later message", tester.messages, [[1, 2]])
        },
    ]
}
