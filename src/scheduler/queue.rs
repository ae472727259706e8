//! Tasks that wait for an offer, in classes of equal role and shape, so that a class that fits nowhere is tried once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Offer, TaskRequest};
use crate::protocol::TaskId;
use crate::resources::{Role, Shape};

/// Tasks of one role and one shape, in the order of their queueing.
#[derive(Debug)]
struct Class {
    role: Role,
    shape: Arc<Shape>,
    tasks: VecDeque<(u64, TaskRequest)>,
}

/// The queue of a framework.
#[derive(Debug, Default)]
pub(super) struct Queue {
    classes: Vec<Class>,
    arrivals: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.classes.iter().map(|class| class.tasks.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Adds a task. Says whether no task of its class was waiting.
    pub(super) fn push(&mut self, task: TaskRequest) -> bool {
        self.arrivals += 1;
        let same = |class: &&mut Class| {
            class.role == task.role && (Arc::ptr_eq(&class.shape, &task.shape) || class.shape == task.shape)
        };
        match self.classes.iter_mut().find(same) {
            Some(class) => {
                class.tasks.push_back((self.arrivals, task));
                false
            }
            None => {
                let (role, shape) = (task.role.clone(), task.shape.clone());
                self.classes.push(Class { role, shape, tasks: VecDeque::from([(self.arrivals, task)]) });
                true
            }
        }
    }

    /// Takes a task out.
    pub(super) fn remove(&mut self, id: &TaskId) -> Option<TaskRequest> {
        for class in &mut self.classes {
            if let Some(place) = class.tasks.iter().position(|(_, task)| task.id == *id) {
                let task = class.tasks.remove(place).map(|(_, task)| task);
                self.drop_empty_classes();
                return task;
            }
        }
        None
    }

    /// A waiting task, by its id.
    pub(super) fn get(&self, id: &str) -> Option<&TaskRequest> {
        let mut tasks = self.classes.iter().flat_map(|class| &class.tasks);
        tasks.find(|(_, task)| task.id.as_str() == id).map(|(_, task)| task)
    }

    /// Launches what fits, oldest class first, and calls `launched` for each. A class waits as soon as one of its tasks fits
    /// no offer.
    pub(super) fn launch_on(&mut self, offers: &mut [Offer], mut launched: impl FnMut(&Offer, TaskId)) {
        self.classes.sort_by_key(|class| class.tasks.front().map(|(arrival, _)| *arrival));
        for class in &mut self.classes {
            for offer in offers.iter_mut().filter(|offer| *offer.role() == class.role) {
                while !class.tasks.is_empty() {
                    let Some(resources) = offer.remaining().find_shape(&class.shape, &class.role) else {
                        break;
                    };
                    let Some((_, request)) = class.tasks.pop_front() else { break };
                    let id = request.id.clone();
                    // What was found in the offer fits it.
                    if offer.launch(request.into_task(resources)).is_ok() {
                        launched(offer, id);
                    }
                }
            }
        }
        self.drop_empty_classes();
    }

    fn drop_empty_classes(&mut self) {
        self.classes.retain(|class| !class.tasks.is_empty());
    }
}
