import CompactEncoding
import Conformance
import LivePeers
import StrictJSON

/// What a peer sends on its channels: single messages, and batches.
extension ProtomuxProbes {
    static let sending: [Probe] = [
        probe("data-before-the-answer", ["MUX-4"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            // Our open has not come: the reference does not wait for it.
            for (type, data) in [(0, "61"), (2, ""), (1, "6263")] { try send(context, channel, type, data) }
            try says(context, tester, "open and data", [open(1, "test"), [1, 0, 0x61], [1, 2], [1, 1, 0x62, 0x63]])
        },
        probe("data-on-its-own-id", ["MUX-4"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            // Our id for the channel is another than the peer's.
            for message in [open(1, "nobody"), open(2, "test")] { try tester.write(message) }
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            try send(context, channel, 3, "616263")
            try says(context, tester, "open, refusal and data", [open(1, "test"), [0, 2, 1], [1, 3, 0x61, 0x62, 0x63]])
        },
        probe("corked", ["MUX-15a"], needs: ["channel.cork", "channel.uncork"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            try cork(context, tester) {
                for (type, data) in [(0, "61"), (1, ""), (0, "6263")] { try send(context, channel, type, data) }
            }
            let batch: [UInt8] = [0, 0, 1, 2, 0, 0x61, 1, 1, 3, 0, 0x62, 0x63]
            try says(context, tester, "open and batch", [open(1, "test"), batch])
            try send(context, channel, 0, "64")
            try says(context, tester, "afterwards", [open(1, "test"), batch, [1, 0, 0x64]])
        },
        probe("corked-across-channels", ["MUX-15a"], needs: ["channel.cork", "channel.uncork"]) { context in
            let (tester, first) = try meet(context, channels(["test", "more"]))
            let second = try context.event("channel", seconds: 5) { $0["stream"] == tester.stream }.handle("channel")
            for message in [open(1, "test"), open(2, "more")] { try tester.write(message) }
            for channel in [first, second] { context.exam.require("opened", opens(context, channel) != nil, "not opened") }
            try cork(context, tester) {
                try send(context, first, 0, "71")
                try context.peer.request("channel.open", ["stream": tester.stream, "protocol": "p3"])
                try send(context, second, 0, "72")
                try send(context, first, 0, "73")
            }
            let control: [UInt8] = [6, 1, 3, 2, 0x70, 0x33, 0]
            let batch: [UInt8] = [0, 0, 1, 2, 0, 0x71, 0, 0] + control + [0, 2, 2, 0, 0x72, 0, 1, 2, 0, 0x73]
            try says(context, tester, "opens and batch", [open(1, "test"), open(2, "more"), batch])
        },
        probe("corks-nest", ["MUX-15a"], needs: ["channel.cork", "channel.uncork"]) { context in
            let (tester, channel) = try meet(context, channels(["test"]))
            try tester.write(open(1, "test"))
            context.exam.require("opened", opens(context, channel) != nil, "not opened")
            try cork(context, tester) {
                try send(context, channel, 0, "61")
                try cork(context, tester) { try send(context, channel, 0, "62") }
                try send(context, channel, 0, "63")
            }
            // An empty batch is not sent.
            try cork(context, tester) {}
            try send(context, channel, 0, "64")
            let batch: [UInt8] = [0, 0, 1, 2, 0, 0x61, 2, 0, 0x62, 2, 0, 0x63]
            try says(context, tester, "open, one batch, data", [open(1, "test"), batch, [1, 0, 0x64]])
        },
    ]

    private static func send(_ context: ProbeContext, _ channel: JSON, _ type: Int, _ data: String) throws {
        try context.peer.request("channel.send", ["channel": channel, "type": .integer(type), "data": .string(data)])
    }

    private static func cork(_ context: ProbeContext, _ tester: SecretTester, _ work: () throws -> Void) throws {
        try context.peer.request("channel.cork", ["stream": tester.stream])
        try work()
        try context.peer.request("channel.uncork", ["stream": tester.stream])
    }
}
