import CMsgBox
import MsgBox
import Synchronization
import Testing

@Suite struct WaitingTests {
  @Test("A poller tells what is ready until it is not, and forgets what is closed")
  func poller() throws {
    let poller = try Poller()
    #expect(try poller.wait(milliseconds: 0) == 0)
    do {
      let wakeup = try Wakeup()
      try poller.add(wakeup.descriptor, token: .max, for: .readable)
      wakeup.raise()
      wakeup.raise()
      for _ in 0..<2 {
        #expect(try poller.wait(milliseconds: testLimitMilliseconds) == 1)
        #expect(poller.result(0).token == .max)
        #expect(poller.result(0).readiness == .readable)
      }
      wakeup.clear()
      #expect(try poller.wait(milliseconds: 0) == 0)
      try poller.change(wakeup.descriptor, token: 5, to: .writable)
      #expect(try poller.wait(milliseconds: testLimitMilliseconds) == 1)
      #expect(poller.result(0).token == 5)
      #expect(poller.result(0).readiness == .writable)
      try poller.change(wakeup.descriptor, token: 5, to: .readable)
      wakeup.raise()
    }
    #expect(try poller.wait(milliseconds: 0) == 0)
  }

  @Test("A poller can be polled itself")
  func nested() throws {
    let poller = try Poller()
    let wakeup = try Wakeup()
    try poller.add(wakeup.descriptor, token: 1, for: .readable)
    wakeup.raise()
    try waitFor(.readable, poller.descriptor)
  }

  @Test("A signal ends the wait, and hides nothing that is ready; another error is told")
  func pollerFaults() throws {
    let poller = try Poller()
    let wakeup = try Wakeup()
    try poller.add(wakeup.descriptor, token: 1, for: .readable)
    try withFaults { () throws in
      fail(CMSGBOX_CALL_POLL, with: .interrupted)
      #expect(try poller.wait(milliseconds: testLimitMilliseconds) == 0)
      wakeup.raise()
      fail(CMSGBOX_CALL_POLL, with: .interrupted)
      #expect(try poller.wait(milliseconds: testLimitMilliseconds) == 1)
      fail(CMSGBOX_CALL_POLL, with: .invalidArgument)
      #expect(throws: Errno.invalidArgument) { try poller.wait(milliseconds: 0) }
    }
  }

  @Test("A waker wakes from another thread, and does nothing once its loop is gone")
  func waker() async throws {
    let waker: Waker
    do {
      let poller = try Poller()
      let wakeup = try Wakeup()
      try poller.add(wakeup.descriptor, token: 1, for: .readable)
      waker = try #require(Waker(eventCounter: wakeup.descriptor))
      let sent = waker
      async let woken: Void = Task.detached { sent.wake() }.value
      await woken
      #expect(try poller.wait(milliseconds: testLimitMilliseconds) == 1)
    }
    await Task.detached { waker.wake() }.value
    let reference = unsafe waker.retained()
    unsafe cmsgbox_waker_wake(reference)
    unsafe cmsgbox_waker_release(reference)
  }

  @Test("The clock goes forward and random numbers differ")
  func clockAndRandom() {
    let before = SystemClock.now
    #expect(SystemClock.now >= before)
    #expect(before.nanoseconds > 0)
    var random = RandomSource.system
    var seen: Set<UInt64> = []
    for _ in 0..<100 { seen.insert(random.word()) }
    #expect(seen.count == 100)
  }

  @Test("Boxes are numbered upward")
  func boxNumbers() {
    let first = cmsgbox_next_box()
    #expect(first > 0)
    #expect(cmsgbox_next_box() > first)
  }
}

@Suite struct ResolverTests {
  /// Takes answers until there are `count`.
  private func answers(
    _ count: Int, of resolver: Resolver, _ wakeup: Wakeup
  ) throws -> [ResolvedName] {
    var answers: [ResolvedName] = []
    while answers.count < count {
      try waitFor(.readable, wakeup.descriptor)
      wakeup.clear()
      while let answer = resolver.take() { answers.append(answer) }
    }
    return answers
  }

  @Test("localhost has a loopback address with the port that was asked for")
  func localhost() throws {
    let wakeup = try Wakeup()
    let resolver = try #require(Resolver(wakeup: wakeup))
    try resolver.ask(Array("localhost".utf8), port: 4711, id: 3)
    let answer = try #require(try answers(1, of: resolver, wakeup).first)
    #expect(answer.id == 3)
    #expect(answer.systemError == 0)
    let loopbacks = [IPAddress(v4: 0x7f00_0001), IPAddress(high: 0, low: 1)]
    #expect(!answer.addresses.isEmpty)
    #expect(answer.addresses.allSatisfy { loopbacks.contains($0.ip) && $0.port == 4711 })
    #expect(Set(answer.addresses).count == answer.addresses.count)
  }

  @Test("A name that cannot exist has no address")
  func invalid() throws {
    let wakeup = try Wakeup()
    let resolver = try #require(Resolver(wakeup: wakeup))
    // Two labels' dots in a row: refused without asking the network.
    try resolver.ask(Array("no..such.invalid".utf8), port: 1, id: 9)
    let answer = try #require(try answers(1, of: resolver, wakeup).first)
    #expect(answer.id == 9)
    #expect(answer.addresses.isEmpty)
  }

  @Test("Every question gets its answer, however many there are")
  func many() throws {
    let wakeup = try Wakeup()
    let resolver = try #require(Resolver(wakeup: wakeup))
    for id in 0..<50 { try resolver.ask(Array("localhost".utf8), port: 1, id: UInt64(id)) }
    #expect(Set(try answers(50, of: resolver, wakeup).map(\.id)) == Set(0..<50))
    #expect(resolver.take() == nil)
  }

  @Test("A question that is forgotten while it waits is not answered, and the others are")
  func forgotten() throws {
    let wakeup = try Wakeup()
    let resolver = try #require(Resolver(wakeup: wakeup))
    let ids = Set<UInt64>(0..<300)
    for id in ids { try resolver.ask(Array("localhost".utf8), port: 1, id: id) }
    let forgotten = Set((150..<300).reversed().filter { resolver.forget(id: $0) })
    #expect(!resolver.forget(id: 300))
    let left = ids.subtracting(forgotten)
    #expect(Set(try answers(left.count, of: resolver, wakeup).map(\.id)) == left)
    try resolver.ask(Array("localhost".utf8), port: 1, id: 301)
    #expect(try answers(1, of: resolver, wakeup).map(\.id) == [301])
  }

  @Test("A resolver may be given up while it asks")
  func givenUp() throws {
    for _ in 0..<50 {
      let wakeup = try Wakeup()
      let resolver = try #require(Resolver(wakeup: wakeup))
      for id in 0..<UInt64(8) { try resolver.ask(Array("localhost".utf8), port: 1, id: id) }
    }
  }

  @Test("A name that is too long, and a thread that cannot be had, are told at once")
  func refusals() throws {
    let wakeup = try Wakeup()
    let resolver = try #require(Resolver(wakeup: wakeup))
    #expect(throws: Errno.invalidArgument) {
      try resolver.ask([UInt8](repeating: 97, count: 256), port: 1, id: 1)
    }
    try withFaults {
      fail(CMSGBOX_CALL_THREAD, with: .wouldBlock)
      #expect(throws: Errno.wouldBlock) {
        try resolver.ask(Array("localhost".utf8), port: 1, id: 2)
      }
      try resolver.ask(Array("localhost".utf8), port: 1, id: 3)
      #expect(try answers(1, of: resolver, wakeup).map(\.id) == [3])
    }
  }
}
