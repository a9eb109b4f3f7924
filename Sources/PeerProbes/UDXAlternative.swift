import StrictJSON

/// What another build of the reference does in a golden exchange, exactly: the case with that build's packets and times. Whoever differs from the
/// recorded build is asked again and held against these; nothing else passes.
struct UDXAlternative {
    /// The build and what it does.
    let name: String
    /// False: the case can't be judged on such a peer.
    let isJudged: Bool
    private let change: ([JSON]) -> [JSON]

    private init(_ name: String, isJudged: Bool = true, _ change: @escaping ([JSON]) -> [JSON]) {
        self.name = "udx-native 1.20.7: \(name)"
        self.isJudged = isJudged
        self.change = change
    }

    /// The contract has no firewall hook for a plain stream: whoever has one refuses what comes before connect, or on a second socket. `left` are
    /// the steps that remain, those of `silent` without an answer.
    private static func refused(_ left: Range<Int>, without gone: Set<Int> = [], silent: Set<Int> = []) -> UDXAlternative {
        UDXAlternative("without a firewall hook a stream takes nothing before connect, nor on a second socket", isJudged: false) { steps in
            steps.indices.filter { left.contains($0) && !gone.contains($0) }.map {
                silent.contains($0) ? receiving(steps[$0], []) : steps[$0]
            }
        }
    }

    func changed(_ json: JSON) -> JSON {
        guard let object = json.object, let steps = json["steps"]?.array else { return json }
        return .object(object.with("steps", .array(change(steps))))
    }

    /// By case.
    static var of: [String: UDXAlternative] {
        [
            "udx-31-window-counted-in-packets": UDXAlternative("a window that holds no whole packet lets none go") { steps in
                let packets = [5, 7, 9, 11].flatMap { received(steps, $0) }
                guard packets.count == 5 else { return steps }
                var steps = steps
                for (index, acknowledged, window) in [(6, 1, "b80b0000"), (8, 3, "01000000"), (10, 3, "ffffffff")] {
                    steps[index] = ["send": .string("ff01000001000000\(window)000000000\(acknowledged)000000")]
                }
                for (index, range) in [(5, 0..<0), (7, 0..<2), (9, 2..<2), (11, 2..<5)] {
                    steps[index] = receiving(steps[index], Array(packets[range]))
                }
                return steps
            },
            "udx-12-second-socket-no-hook": refused(0..<2, silent: [1]),
            "udx-66-data-before-connect": refused(0..<11, without: [2, 5, 8], silent: [10]),
            "udx-66-end-before-connect": refused(0..<5, without: [2], silent: [4]),
            "udx-66-destroy-before-connect": refused(0..<2),
            "udx-66-heartbeat-before-connect": refused(0..<4, silent: [3]),
            "udx-74-relay": UDXAlternative("without a firewall hook a stream takes nothing on another socket than its own") { steps in
                var steps = steps
                if steps.indices.contains(21) { steps[21] = receiving(steps[21], []) }
                return steps
            },
            "udx-46-tail-loss-probe": UDXAlternative("the retransmission timer runs on while a tail is probed") { steps in
                let packets = received(steps, 5)
                guard let last = packets.last else { return steps }
                var steps = steps
                steps[5] = receiving(steps[5], packets + [at(last, 985)], milliseconds: 1600)
                return steps
            },
            "udx-50-death-with-rtt": UDXAlternative("the retransmission timer runs on while a tail is probed") { steps in
                var steps = steps
                steps[5] = receiving(
                    steps[5],
                    received(steps, 5).enumerated().map { index, packet in index < 2 ? packet : at(packet, 985 + 2000 * (index - 2)) })
                return steps
            },
            "udx-47-tail-probe-in-recovery": UDXAlternative("no tail is probed in recovery") { steps in
                var steps = steps
                steps[7] = receiving(steps[7], Array(received(steps, 7).prefix(1)))
                return steps
            },
        ]
    }

    private static func received(_ steps: [JSON], _ index: Int) -> [JSON] {
        steps.indices.contains(index) ? steps[index]["receive"]?.array ?? [] : []
    }

    private static func receiving(_ step: JSON, _ packets: [JSON], milliseconds: Int? = nil) -> JSON {
        guard let object = step.object else { return step }
        let changed = object.with("receive", .array(packets))
        return .object(milliseconds.map { changed.with("forMilliseconds", .integer($0)) } ?? changed)
    }

    /// From a time on, for as long as other times of the cases are given.
    private static func at(_ packet: JSON, _ earliest: Int) -> JSON {
        guard let object = packet.object else { return packet }
        return .object(object.with("afterMilliseconds", [.integer(earliest), .integer(earliest + 75)]))
    }
}
