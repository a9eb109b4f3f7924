/// Inputs that are kept, and seeded damage to them: no fuzzer is needed, and the same seed gives the same inputs.
public struct FuzzReplay {
    /// An input that broke a promise.
    public struct Finding: Sendable {
        public let input: [UInt8]
        public let promise: String
    }

    private let target: FuzzTarget
    private let inputs: [[UInt8]]
    private let executions: Int
    private let seed: UInt64
    private let isPlanted: Bool

    /// `executions` damaged inputs are tried after the given ones; with `isPlanted` the target has a bug that must be found.
    public init(_ target: FuzzTarget, inputs: [[UInt8]], executions: Int, seed: UInt64, isPlanted: Bool = false) {
        self.target = target
        self.inputs = inputs
        self.executions = executions
        self.seed = seed
        self.isPlanted = isPlanted
    }

    /// The first finding, or nil.
    public func run() -> Finding? {
        let judge = isPlanted ? target.runPlanted : target.run
        for input in inputs { if let promise = judge(input) { return Finding(input: input, promise: promise) } }
        var mutator = ByteMutator(seeds: inputs, seed: seed)
        for _ in 0..<executions {
            let input = mutator.next()
            if let promise = judge(input) { return Finding(input: input, promise: promise) }
        }
        return nil
    }
}
