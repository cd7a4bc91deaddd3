//! The worker: forwards between two sides whose queues come and go, and counts what passed through its hands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};
use vfwire::{Pool, RxQueue, TxQueue};

/// Queues of one side.
#[derive(Default)]
pub(crate) struct Queues {
    pub rx: Vec<Box<dyn RxQueue>>,
    pub tx: Vec<Box<dyn TxQueue>>,
}

/// What passed on one side.
#[derive(Debug, Default)]
pub(crate) struct Books {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Books {
    /// Frames that came from its receive queues.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    /// Frames that its transmit queues took.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }
}

/// Replace the queues of a side; the old ones are dropped when the answer comes.
struct Order(usize, Queues, Sender<()>);

pub(crate) struct Worker {
    orders: Option<Sender<Order>>,
    books: Arc<[Books; 2]>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn new(pool: &Pool) -> Self {
        let (orders, inbox) = channel();
        let books = Arc::new([Books::default(), Books::default()]);
        let (pool, mine) = (pool.clone(), books.clone());
        Self { orders: Some(orders), books, thread: Some(thread::spawn(move || work(&pool, &inbox, &mine))) }
    }

    pub(crate) fn books(&self) -> &[Books; 2] {
        &self.books
    }

    /// Gives the worker other queues for a side, and waits until it has dropped the old ones.
    pub(crate) fn replace(&self, side: usize, queues: Queues) {
        let (done, answer) = channel();
        let orders = self.orders.as_ref().expect("it runs until it is dropped");
        orders.send(Order(side, queues, done)).expect("the worker runs");
        answer.recv().expect("the worker answers");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the worker does not panic");
        }
    }
}

fn work(pool: &Pool, inbox: &Receiver<Order>, books: &[Books; 2]) {
    use std::sync::mpsc::TryRecvError;
    let (mut cache, mut burst) = (pool.cache(), pool.burst(64));
    let mut rx: [Vec<Box<dyn RxQueue>>; 2] = Default::default();
    let mut tx: [Vec<Box<dyn TxQueue>>; 2] = Default::default();
    loop {
        match inbox.try_recv() {
            Ok(Order(side, queues, done)) => {
                (rx[side], tx[side]) = (queues.rx, queues.tx);
                let _ = done.send(());
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        let mut moved = 0;
        for (from, to) in [(0, 1), (1, 0)] {
            for queue in &mut rx[from] {
                let received = queue.rx_burst(&mut cache, &mut burst);
                books[from].received.fetch_add(received as u64, Ordering::Release);
                if let Some(queue) = tx[to].first_mut() {
                    let sent = queue.tx_burst(&mut cache, &mut burst);
                    books[to].sent.fetch_add(sent as u64, Ordering::Release);
                }
                burst.clear(&mut cache);
                moved += received;
            }
            for queue in &mut tx[to] {
                queue.reclaim(&mut cache);
            }
        }
        if moved == 0 {
            thread::sleep(Duration::from_micros(50));
        }
    }
}
