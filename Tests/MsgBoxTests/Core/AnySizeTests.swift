import MsgBox
import Testing

/// Messages of any size and of every promise, over links that lose, reorder and duplicate.
/// MSGBOX_COUNT sets another number of messages, MSGBOX_SEED another seed.
@Suite("Messages of any size on bad links")
struct AnySizeTests {
  private static let count = environmentNumber("MSGBOX_COUNT") ?? 10_000
  private static let seed = UInt64(environmentNumber("MSGBOX_SEED") ?? 1)
  /// Of 1000 datagrams so many are lost.
  static let losses = [0, 10, 100, 300]

  private func badLink(loss: Int) -> LinkConditions {
    var conditions = LinkConditions()
    conditions.jitter = .milliseconds(5)
    conditions.loss = loss
    conditions.duplication = 50
    conditions.reordering = 100
    return conditions
  }

  // MARK: Requests

  @Test("Each handler runs at most once, and each get has exactly one outcome", arguments: losses)
  func gets(loss: Int) throws {
    let pair = try Pair(.udp, seed: Self.seed, conditions: badLink(loss: loss))
    let program = GetProgram(pair, count: Self.count)
    program.ask()
    #expect(pair.simulation.run(within: .seconds(3600)) { program.outcomes == Self.count })
    #expect(program.errors.isEmpty, "\(program.errors.prefix(3))")
    #expect(program.handled.allSatisfy { $0 <= 1 })
    #expect(program.replies + pair.client.log.count(.replyMissing) == Self.count)
    // Each reply was made by a handler, and a request that nobody handled has none.
    #expect(program.replies <= program.handled.reduce(0, +))
    // No promise, but what resending ought to do: a reply that was made is kept for 10 s at most, and
    // sent again for each copy that comes as copies do.
    let fewest = Self.count * (loss <= 10 ? 999 : loss <= 100 ? 995 : 940) / 1000
    #expect(program.replies >= fewest)
    pair.client.onEvent = nil
    pair.server.onEvent = nil
    pair.finish()
    pair.simulation.tearDown()
  }

  // MARK: Reliable messages

  @Test(
    "Reliable messages arrive exactly once and in the order of their channel", arguments: losses)
  func reliable(loss: Int) throws {
    let pair = try Pair(.udp, seed: Self.seed, conditions: badLink(loss: loss))
    let program = ReliableProgram(pair, count: Self.count)
    program.send()
    #expect(
      pair.simulation.run(within: .seconds(24 * 3600)) {
        program.delivered == Self.count && program.flow.received == Self.count
      })
    #expect(program.errors.isEmpty, "\(program.errors.prefix(3))")
    #expect(program.flow.received == Self.count)
    #expect(pair.client.log.count(.delivered) == Self.count)
    #expect(pair.client.log.count(.undelivered) == 0)
    pair.client.onEvent = nil
    pair.finish()
    pair.simulation.tearDown()
  }

  @Test("The same messages in one connection of TCP", arguments: [0, 300])
  func streams(loss: Int) throws {
    let pair = try Pair(.tcp, seed: Self.seed, conditions: badLink(loss: loss))
    let count = Self.count / 10
    let program = ReliableProgram(pair, count: count)
    program.send()
    #expect(
      pair.simulation.run(within: .seconds(24 * 3600)) { program.delivered == count })
    #expect(program.errors.isEmpty, "\(program.errors.prefix(3))")
    #expect(program.flow.received == count)
    pair.client.onEvent = nil
    pair.finish()
    pair.simulation.tearDown()
  }

  // MARK: Schedules

  @Test("The guarantees hold in random schedules of every kind of send", arguments: [0, 1, 2])
  func schedules(part: Int) {
    let transport = [Transport.udp, .tcp, nil][part]
    let count = (environmentNumber("MSGBOX_SCHEDULES") ?? 2500) / 5
    let first = 5_000_000 + part * 1_000_000
    let range =
      environmentNumber("MSGBOX_SEED").map { $0..<($0 + 1) } ?? first..<(first + count)
    var failures = 0
    for seed in range where failures < 3 {
      var schedule = RandomSchedule(seed: UInt64(seed), transport: transport, mixesSends: true)
      if !schedule.run().isEmpty { failures += 1 }
    }
    #expect(failures == 0)
  }
}

/// A client that keeps 50 gets waiting, and a server that answers each.
private final class GetProgram {
  /// Few enough that the replies which the server keeps for requests that come again, 256 KiB, are
  /// those of some seconds.
  private static let atOnce = 50

  private let pair: Pair
  private let count: Int
  private var asked = 0
  /// How often the server's handler ran for each get.
  private(set) var handled: [Int]
  private(set) var replies = 0
  private(set) var outcomes = 0
  private(set) var errors: [String] = []

  init(_ pair: Pair, count: Int) {
    self.pair = pair
    self.count = count
    handled = [Int](repeating: 0, count: count)
    pair.client.log.isCountingOnly = true
    pair.server.log.isCountingOnly = true
    pair.server.onEvent = { [unowned self] _, event in handle(event) }
    pair.client.onEvent = { [unowned self] _, event in take(event) }
  }

  /// Of 20 gets one, and of their replies another, takes several packets.
  private func size(_ number: Int, reply: Bool) -> Int {
    var dice = SeededRandom(seed: UInt64(number * 2 + (reply ? 1 : 0)))
    return Content.headerBytes + (dice.chance(50) ? dice.within(1150...6000) : dice.below(200))
  }

  func ask() {
    while asked < count, asked - outcomes < Self.atOnce {
      let content = Content(
        .request, sender: 1, sequence: UInt32(asked), count: size(asked, reply: false))
      let status = pair.client.get(
        content.bytes, from: pair.up, context: UInt(asked), timeout: .seconds(30))
      guard status == .ok else {
        if status != .wouldBlock { errors.append("get \(asked) gives \(status)") }
        return
      }
      asked += 1
    }
  }

  private func handle(_ event: LoggedEvent) {
    guard event.kind == .request else { return }
    guard let content = Content(event.bytes), content.kind == .request,
      handled.indices.contains(Int(content.sequence))
    else { return errors.append("a request that nobody sent") }
    let number = Int(content.sequence)
    handled[number] += 1
    let reply = Content(
      .reply, sender: 2, sequence: content.sequence, count: size(number, reply: true))
    let status = pair.server.answer(reply.bytes, to: event.request)
    if status != .ok { errors.append("answer \(number) gives \(status)") }
  }

  private func take(_ event: LoggedEvent) {
    switch event.kind {
    case .reply:
      let number = Int(event.getContext)
      let expected = Content(
        .reply, sender: 2, sequence: UInt32(number), count: size(number, reply: true))
      if Content(event.bytes) != expected { errors.append("reply \(number) is another's") }
      replies += 1
      outcomes += 1
    case .replyMissing: outcomes += 1
    case .writable: break
    default: return
    }
    ask()
  }
}

/// A client that sends reliable messages of mixed sizes over four channels, the first unordered.
private final class ReliableProgram {
  let flow = Flow(sender: 1)
  private let pair: Pair
  private let count: Int
  private var random = SeededRandom(seed: 77)
  private var pending: (channel: UInt8, count: Int)?
  private(set) var delivered = 0
  private(set) var errors: [String] = []

  init(_ pair: Pair, count: Int) {
    self.pair = pair
    self.count = count
    pair.client.log.isCountingOnly = true
    pair.server.log.isCountingOnly = true
    pair.server.onEvent = { [unowned self] _, event in
      if event.kind == .message, let error = flow.receive(event.bytes) { errors.append(error) }
    }
    pair.client.onEvent = { [unowned self] _, event in take(event) }
  }

  private func take(_ event: LoggedEvent) {
    if event.kind == .delivered { delivered += 1 }
    if event.kind == .undelivered { errors.append("undelivered: \(event.status)") }
    if event.kind == .writable { send() }
  }

  /// Mostly small; one in 100 takes up to 30 000 bytes.
  private func size() -> Int {
    switch random.below(100) {
    case 0: random.within(3000...30_000)
    case 1..<10: random.below(3000)
    default: random.below(200)
    }
  }

  func send() {
    while flow.sent < count {
      let next = pending ?? (UInt8(random.below(4)), size())
      pending = next
      let status = pair.client.sendReliably(
        flow.next(channel: next.channel, count: next.count), to: pair.up, channel: next.channel,
        outcome: UInt(flow.sent))
      guard status == .ok else {
        if status != .wouldBlock { errors.append("send \(flow.sent) gives \(status)") }
        return
      }
      flow.accepted(channel: next.channel, count: next.count)
      pending = nil
    }
  }
}
